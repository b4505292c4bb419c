-- AWS's signature, with canned answers in place of the service: what it was called with is kept.
CREATE TABLE aws_lambda.answers (action text PRIMARY KEY, payload jsonb, error text, milliseconds integer DEFAULT 0);
CREATE TABLE aws_lambda.calls (
    number serial PRIMARY KEY, function_name text, region text, payload jsonb, invocation_type text, timeout_ms text
);

CREATE FUNCTION aws_lambda.answer(target aws_commons._lambda_function_arn_1, request jsonb, invocation_type text)
RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
    timeout_ms constant text := nullif(current_setting('aws_lambda.request_timeout_ms', true), '');
    answer aws_lambda.answers;
BEGIN
    INSERT INTO aws_lambda.calls (function_name, region, payload, invocation_type, timeout_ms)
    VALUES (target.function_name, target.region, request, invocation_type, timeout_ms);
    SELECT * INTO answer FROM aws_lambda.answers WHERE action = request ->> 'action';
    IF answer.milliseconds > coalesce(timeout_ms, '3000')::integer THEN
        PERFORM pg_sleep(coalesce(timeout_ms, '3000')::float / 1000);
        RAISE EXCEPTION 'lambda invocation timed out';
    END IF;
    IF answer.error IS NOT NULL THEN
        RAISE EXCEPTION 'lambda invocation failed' USING DETAIL = answer.error;
    END IF;
    RETURN coalesce(answer.payload, jsonb_build_object('statusCode', 200, 'body', request));
END
$$;

-- In SQL, because PL/pgSQL takes no parameter name twice, as AWS's signature has `payload`.
CREATE FUNCTION aws_lambda.invoke(
    IN function_name aws_commons._lambda_function_arn_1,
    IN payload jsonb,
    IN invocation_type text DEFAULT 'RequestResponse',
    IN log_type text DEFAULT 'None',
    IN context jsonb DEFAULT NULL,
    IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int,
    OUT payload jsonb,
    OUT executed_version text,
    OUT log_result text
)
LANGUAGE sql
AS $$ SELECT 200, aws_lambda.answer($1, $2, $3), '$LATEST', NULL::text $$;
