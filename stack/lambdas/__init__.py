"""The local Lambda service: functions under the real runtime interface client, behind the Invoke API of AWS."""
