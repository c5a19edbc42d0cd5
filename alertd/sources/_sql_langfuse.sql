-- Langfuse's observations (ClickHouse), by hour. The counts of usage_details do not contain each other, except `total`,
-- which is read where nothing else is known. A count of another name keeps its name: alertd says that it has no price.
-- Source: langfuse/langfuse, packages/shared/clickhouse/migrations (observations: ReplacingMergeTree).
SELECT
  toStartOfHour(toTimeZone(start_time, 'UTC')) AS timestamp,
  toStartOfHour(toTimeZone(start_time, 'UTC')) + INTERVAL 1 HOUR AS `end`,
  coalesce(provided_model_name, '') AS model,
  project_id AS project,
  environment,
  multiIf(
    counted.1 IN ('input', 'prompt_tokens', 'input_audio_tokens', 'input_text_tokens'), 'input',
    counted.1 IN ('input_cached_tokens', 'cache_read_input_tokens', 'input_cache_read'), 'cached_input',
    counted.1 IN ('cache_creation_input_tokens', 'input_cache_creation'), 'cache_write',
    counted.1 IN ('output', 'completion_tokens', 'output_audio_tokens', 'output_reasoning_tokens', 'output_reasoning'),
    'output',
    counted.1
  ) AS meter,
  if(counted.1 LIKE '%audio%', 'audio', '') AS modality,
  sum(counted.2) AS quantity
FROM (
  SELECT start_time, provided_model_name, project_id, environment, usage_details,
    arrayJoin(CAST(usage_details, 'Array(Tuple(String, UInt64))')) AS counted
  FROM observations FINAL
  WHERE start_time >= toDateTime64(:start, 3, 'UTC') AND start_time < toDateTime64(:end, 3, 'UTC') AND is_deleted = 0
) AS parts
WHERE counted.2 > 0 AND NOT (counted.1 = 'total' AND length(usage_details) > 1)
GROUP BY 1, 2, 3, 4, 5, 6, 7
