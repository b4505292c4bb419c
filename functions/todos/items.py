"""Todos, in DynamoDB (LC-126, LC-131, LC-132).

Owns the items of the table and what a write's answer means. Every write has a condition, so that it may be repeated:
a put never replaces, an update never creates. Reads follow pages to the end (LC-138). The attribute `fingerprint` is
ours alone: it tells a create that came again from another create with the same id.
Source of facts: Amazon DynamoDB Developer Guide, «Condition expressions», «Global secondary indexes».
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.todos.faults import KeyReusedError, StoreUnavailableError
from functions.todos.settings import TodoSettings

STORE: Final = "todo"
FIELDS: Final = ("id", "user_id", "title", "description", "status", "priority", "due_date", "created_at", "updated_at")

Todo = dict[str, Any]
_Item = dict[str, dict[str, Any]]
_T = TypeVar("_T")


def client(settings: TodoSettings) -> Any:
    """Return DynamoDB's client; its tries end well within a request."""
    config = Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": settings.dynamodb_max_attempts},
    )
    return boto3.client("dynamodb", region_name=settings.aws_region, config=config)


class Items:
    """Keep todos in one table.

    Every method raises StoreUnavailableError when DynamoDB does not answer; a write may have happened all the same.
    """

    def __init__(self, client: Any, table: str, index: str) -> None:
        self._client = client
        self._table = table
        self._index = index

    def create(self, todo: Todo) -> Todo:
        """Store a new todo; the same again changes nothing and returns what is there now.

        Raises:
            KeyReusedError: The id is that of a todo which was created with other content.
        """
        item = {**_item(todo), "fingerprint": {"S": _fingerprint(todo)}}

        def put() -> Todo:
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(id)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as error:
                # An attempt whose answer was lost, of this call or of an earlier one with the same key.
                there = error.response.get("Item") or self._read(todo["id"]) or {}
                if there.get("fingerprint") != item["fingerprint"]:
                    raise KeyReusedError from None
                return _todo(there)
            return todo

        return self._asked(put)

    def get(self, identity: str) -> Todo | None:
        """Return one todo as it is now, or None."""
        item = self._asked(lambda: self._read(identity))
        return _todo(item) if item else None

    def of_user(self, user_id: str, status: str | None = None) -> list[Todo]:
        """Return the todos of a user, the newest first, all of them or those of one status."""
        names, values, filters = {"#user": "user_id"}, {":user": {"S": user_id}}, {}
        if status is not None:
            names["#status"] = "status"
            values[":status"] = {"S": status}
            filters = {"FilterExpression": "#status = :status"}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=self._index,
            KeyConditionExpression="#user = :user",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            **filters,
        )
        return self._asked(lambda: [_todo(item) for page in pages for item in page["Items"]])

    def update(self, identity: str, changes: dict[str, str | None], updated_at: str) -> Todo | None:
        """Set fields of a todo and return it, or None when there is none."""
        fields = {**changes, "updated_at": updated_at}

        def set_fields() -> Todo | None:
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": identity}},
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
                    ConditionExpression="attribute_exists(id)",
                    ExpressionAttributeNames={f"#{name}": name for name in fields},
                    ExpressionAttributeValues={f":{name}": _value(value) for name, value in fields.items()},
                    ReturnValues="ALL_NEW",
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return None
            return _todo(answer["Attributes"])

        return self._asked(set_fields)

    def delete(self, identity: str) -> Todo | None:
        """Remove a todo and return what it was, or None when there is none."""
        known = self.get(identity)
        if known is None:
            return None
        answer = self._asked(
            lambda: self._client.delete_item(TableName=self._table, Key={"id": {"S": identity}}, ReturnValues="ALL_OLD")
        )
        if item := answer.get("Attributes"):
            return _todo(item)
        # Gone between the two: by our own first try, when the client made another, or else by somebody.
        return known if answer["ResponseMetadata"]["RetryAttempts"] else None

    def delete_of(self, identity: str, user_id: str) -> bool:
        """Remove a todo if it is of this user; return whether it was there."""

        def remove() -> bool:
            try:
                answer = self._client.delete_item(
                    TableName=self._table,
                    Key={"id": {"S": identity}},
                    ConditionExpression="user_id = :user",
                    ExpressionAttributeValues={":user": {"S": user_id}},
                    ReturnValues="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
            return "Attributes" in answer

        return self._asked(remove)

    def pages(self) -> Iterator[list[Todo]]:
        """Yield the id, user and age of every todo, a page at a time; for the checker alone."""
        pages = iter(
            self._client.get_paginator("scan").paginate(
                TableName=self._table, ConsistentRead=True, ProjectionExpression="id, user_id, created_at"
            )
        )
        while (page := self._asked(lambda: next(pages, None))) is not None:
            yield [{name: value.get("S", "") for name, value in item.items()} for item in page["Items"]]

    def describe(self) -> str:
        """Return the state of the table, without reading an item."""
        return self._asked(lambda: str(self._client.describe_table(TableName=self._table)["Table"]["TableStatus"]))

    def _read(self, identity: str) -> _Item | None:
        answer = self._client.get_item(TableName=self._table, Key={"id": {"S": identity}}, ConsistentRead=True)
        item: _Item | None = answer.get("Item")
        return item

    def _asked(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except ClientError as error:
            raise StoreUnavailableError(STORE, str(error.response["Error"].get("Code"))) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(STORE, type(error).__name__) from error


def _fingerprint(todo: Todo) -> str:
    """Return what tells two creates apart: all but the moments."""
    content = {name: todo.get(name) for name in FIELDS if not name.endswith("_at")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _value(value: str | None) -> dict[str, Any]:
    return {"NULL": True} if value is None else {"S": value}


def _item(todo: Todo) -> _Item:
    return {name: _value(todo.get(name)) for name in FIELDS}


def _todo(item: _Item) -> Todo:
    return {name: item.get(name, {}).get("S") for name in FIELDS}
