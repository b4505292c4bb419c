-- Generated 2026-01-31T12:00:00+00:00 from "filters.json".
-- Do not edit: change the filters and generate again.
-- One statement is one call. Properties of each:
--   sql.local-time-zone = UTC
--   sql.tables.scan.watermark-alignment.max-allowed-drift = 0

-- 1 of 7: source-raw-event-headers
CREATE TABLE IF NOT EXISTS `raw-event-headers` (
  `key` BYTES,
  `id` STRING,
  `event_name` STRING,
  `event_type` STRING,
  `created_date` STRING,
  `saved_date` STRING,
  `header_data` STRING,
  `__op` STRING,
  `__table` STRING,
  `__ts_ms` BIGINT
)
DISTRIBUTED BY (`key`) INTO 6 BUCKETS
WITH (
  'key.format' = 'raw',
  'value.format' = 'json-registry',
  'value.fields-include' = 'except-key',
  'changelog.mode' = 'append',
  'scan.startup.mode' = 'earliest-offset',
  'kafka.consumer.isolation-level' = 'read-committed',
  'error-handling.mode' = 'log',
  'error-handling.log.target' = 'dlq-raw-event-headers-flink'
);

-- 2 of 7: options-raw-event-headers
ALTER TABLE `raw-event-headers` SET (
  'changelog.mode' = 'append',
  'scan.startup.mode' = 'earliest-offset',
  'kafka.consumer.isolation-level' = 'read-committed',
  'error-handling.mode' = 'log',
  'error-handling.log.target' = 'dlq-raw-event-headers-flink'
);

-- 3 of 7: sink-filtered-car-created-events-flink
CREATE TABLE IF NOT EXISTS `filtered-car-created-events-flink` (
  `key` BYTES,
  `id` STRING,
  `event_name` STRING,
  `event_type` STRING,
  `created_date` STRING,
  `saved_date` STRING,
  `header_data` STRING,
  `__op` STRING,
  `__table` STRING
)
DISTRIBUTED BY (`key`) INTO 6 BUCKETS
WITH (
  'key.format' = 'raw',
  'value.format' = 'json-registry',
  'value.fields-include' = 'except-key',
  'changelog.mode' = 'append'
);

-- 4 of 7: sink-filtered-loan-created-events-flink
CREATE TABLE IF NOT EXISTS `filtered-loan-created-events-flink` (
  `key` BYTES,
  `id` STRING,
  `event_name` STRING,
  `event_type` STRING,
  `created_date` STRING,
  `saved_date` STRING,
  `header_data` STRING,
  `__op` STRING,
  `__table` STRING
)
DISTRIBUTED BY (`key`) INTO 6 BUCKETS
WITH (
  'key.format' = 'raw',
  'value.format' = 'json-registry',
  'value.fields-include' = 'except-key',
  'changelog.mode' = 'append'
);

-- 5 of 7: sink-filtered-loan-payment-submitted-events-flink
CREATE TABLE IF NOT EXISTS `filtered-loan-payment-submitted-events-flink` (
  `key` BYTES,
  `id` STRING,
  `event_name` STRING,
  `event_type` STRING,
  `created_date` STRING,
  `saved_date` STRING,
  `header_data` STRING,
  `__op` STRING,
  `__table` STRING
)
DISTRIBUTED BY (`key`) INTO 6 BUCKETS
WITH (
  'key.format' = 'raw',
  'value.format' = 'json-registry',
  'value.fields-include' = 'except-key',
  'changelog.mode' = 'append'
);

-- 6 of 7: sink-filtered-service-events-flink
CREATE TABLE IF NOT EXISTS `filtered-service-events-flink` (
  `key` BYTES,
  `id` STRING,
  `event_name` STRING,
  `event_type` STRING,
  `created_date` STRING,
  `saved_date` STRING,
  `header_data` STRING,
  `__op` STRING,
  `__table` STRING
)
DISTRIBUTED BY (`key`) INTO 6 BUCKETS
WITH (
  'key.format' = 'raw',
  'value.format' = 'json-registry',
  'value.fields-include' = 'except-key',
  'changelog.mode' = 'append'
);

-- 7 of 7: insert-all-filters
EXECUTE STATEMENT SET
BEGIN

-- car-created-filter, "Car created"
INSERT INTO `filtered-car-created-events-flink` (`key`, `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`)
SELECT CAST(`id` AS BYTES), `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`
FROM `raw-event-headers`
WHERE `event_type` = 'CarCreated' AND `__op` IN ('c', 'r');

-- loan-created-filter, "Loan created"
INSERT INTO `filtered-loan-created-events-flink` (`key`, `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`)
SELECT CAST(`id` AS BYTES), `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`
FROM `raw-event-headers`
WHERE `event_type` = 'LoanCreated' AND `__op` IN ('c', 'r');

-- loan-payment-submitted-filter, "Loan payment submitted"
INSERT INTO `filtered-loan-payment-submitted-events-flink` (`key`, `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`)
SELECT CAST(`id` AS BYTES), `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`
FROM `raw-event-headers`
WHERE `event_type` = 'LoanPaymentSubmitted' AND `__op` IN ('c', 'r');

-- service-events-filter, "Service events"
INSERT INTO `filtered-service-events-flink` (`key`, `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`)
SELECT CAST(`id` AS BYTES), `id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`
FROM `raw-event-headers`
WHERE `event_type` = 'CarServiceDone' AND `__op` IN ('c', 'r');

END;
