-- Generated 2026-01-31T12:00:00+00:00 from "filters.json".
-- Do not edit: change the filters and generate again.

CREATE TABLE `raw-event-headers-bytes` (
  `key` BYTES,
  `value` BYTES,
  `partition` INT METADATA VIRTUAL,
  `offset` BIGINT METADATA VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = 'raw-event-headers',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.group.id' = 'headwater-filters',
  'scan.startup.mode' = 'group-offsets',
  'properties.auto.offset.reset' = 'earliest',
  'properties.allow.auto.create.topics' = 'false',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TEMPORARY SYSTEM FUNCTION parse_header AS 'headwater.HeaderParser' LANGUAGE JAVA;

CREATE TEMPORARY SYSTEM FUNCTION header_value AS 'headwater.HeaderValue' LANGUAGE JAVA;

CREATE TEMPORARY SYSTEM FUNCTION topic_of AS 'headwater.TopicOf' LANGUAGE JAVA;

CREATE TEMPORARY SYSTEM FUNCTION each_topic AS 'headwater.EachTopic' LANGUAGE JAVA;

CREATE TEMPORARY VIEW `raw-event-headers` AS
SELECT
  r.`key`, r.`value`, r.`partition`, r.`offset`,
  h.`id`, h.`event_name`, h.`event_type`, h.`created_date`, h.`saved_date`, h.`header_data`, h.`__op`, h.`__table`, h.`__ts_ms`, h.`fault`
FROM `raw-event-headers-bytes` AS r
CROSS JOIN LATERAL TABLE(parse_header(r.`value`)) AS h
WHERE r.`value` IS NOT NULL;

CREATE TABLE `filtered-events` (
  `key` BYTES,
  `id` STRING,
  `event_name` STRING,
  `event_type` STRING,
  `created_date` STRING,
  `saved_date` STRING,
  `header_data` STRING,
  `__op` STRING,
  `__table` STRING,
  `topic` STRING METADATA
) WITH (
  'connector' = 'kafka',
  'topic-pattern' = 'filtered-car-created-events-flink|filtered-loan-created-events-flink|filtered-loan-payment-submitted-events-flink|filtered-service-events-flink',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'at-least-once',
  'properties.linger.ms' = '0',
  'properties.max.request.size' = '4194304'
);

CREATE TABLE `dead-letters` (
  `key` BYTES,
  `value` BYTES,
  `headers` MAP<STRING, BYTES> METADATA
) WITH (
  'connector' = 'kafka',
  'topic' = 'dlq-raw-event-headers',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'at-least-once',
  'properties.linger.ms' = '0',
  'properties.max.request.size' = '4194304'
);

EXECUTE STATEMENT SET

BEGIN

INSERT INTO `filtered-events`
SELECT CAST(`id` AS BYTES), `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`, t.`topic`
FROM `raw-event-headers`
CROSS JOIN LATERAL TABLE(each_topic(ARRAY[
  -- "CarCreated": car-created-filter, "Car created"
  -- "LoanCreated": loan-created-filter, "Loan created"
  -- "LoanPaymentSubmitted": loan-payment-submitted-filter, "Loan payment submitted"
  -- "CarServiceDone": service-events-filter, "Service events"
  CASE WHEN `__op` IN ('c', 'r') THEN topic_of(`event_type`, '{
  "CarCreated": "filtered-car-created-events-flink",
  "LoanCreated": "filtered-loan-created-events-flink",
  "LoanPaymentSubmitted": "filtered-loan-payment-submitted-events-flink",
  "CarServiceDone": "filtered-service-events-flink"
}') END
])) AS t (`topic`)
WHERE `fault` IS NULL;

INSERT INTO `dead-letters`
SELECT `key`, `value`, MAP['dlq-reason', CAST(`fault` AS BYTES), 'dlq-topic', CAST('raw-event-headers' AS BYTES), 'dlq-partition', CAST(CAST(`partition` AS STRING) AS BYTES), 'dlq-offset', CAST(CAST(`offset` AS STRING) AS BYTES)]
FROM `raw-event-headers`
WHERE `fault` IS NOT NULL;

END;
