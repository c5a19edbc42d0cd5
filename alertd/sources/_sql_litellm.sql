-- LiteLLM's spend table (PostgreSQL), by hour. Prompt tokens include what was read from and written to a cache.
-- Source: BerriAI/litellm, schema.prisma (LiteLLM_SpendLogs) and the usage object in its metadata.
SELECT
  date_trunc('hour', "startTime") AS timestamp,
  date_trunc('hour', "startTime") + interval '1 hour' AS "end",
  coalesce(custom_llm_provider, '') AS provider,
  coalesce(model, '') AS model,
  coalesce(metadata ->> 'user_api_key_alias', left(api_key, 8)) AS key,
  coalesce(metadata ->> 'user_api_key_team_alias', team_id, '') AS team,
  coalesce("user", '') AS "user",
  sum(prompt_tokens - least(prompt_tokens, cached + written)) AS uncached_input_tokens,
  sum(cached) AS cached_input_tokens,
  sum(written) AS cache_write_tokens,
  sum(completion_tokens) AS output_tokens
FROM (
  SELECT
    *,
    coalesce(
      (metadata #>> '{usage_object,cache_read_input_tokens}')::numeric,
      (metadata #>> '{usage_object,prompt_tokens_details,cached_tokens}')::numeric,
      0
    ) AS cached,
    coalesce((metadata #>> '{usage_object,cache_creation_input_tokens}')::numeric, 0) AS written
  FROM "LiteLLM_SpendLogs"
  WHERE "startTime" >= :start AND "startTime" < :end
) AS logs
GROUP BY 1, 2, 3, 4, 5, 6, 7
