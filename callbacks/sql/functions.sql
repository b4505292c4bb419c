-- The SQL functions that call a Lambda function (LC-90, LC-91, LC-99). {function_name} and {region} become quoted
-- literals. The bodies are parsed when they are created, so a literal in them needs no second quoting (LC-96).

CREATE EXTENSION IF NOT EXISTS aws_lambda CASCADE;

CREATE OR REPLACE FUNCTION public.process_data(data jsonb) RETURNS jsonb
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT called.payload
    FROM aws_lambda.invoke(
        aws_commons.create_lambda_function_arn({function_name}, {region}),
        jsonb_build_object('action', 'process', 'data', data),
        'RequestResponse'
    ) AS called;
END;

CREATE OR REPLACE FUNCTION public.transform_data(data jsonb) RETURNS jsonb
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT called.payload
    FROM aws_lambda.invoke(
        aws_commons.create_lambda_function_arn({function_name}, {region}),
        jsonb_build_object('action', 'transform', 'data', data),
        'RequestResponse'
    ) AS called;
END;

CREATE OR REPLACE FUNCTION public.validate_data(data jsonb) RETURNS jsonb
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT called.payload
    FROM aws_lambda.invoke(
        aws_commons.create_lambda_function_arn({function_name}, {region}),
        jsonb_build_object('action', 'validate', 'data', data),
        'RequestResponse'
    ) AS called;
END;

-- An answer without a verdict is an error, so that nobody takes it for a valid event.
CREATE OR REPLACE FUNCTION public.event_verdict(answer jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF jsonb_typeof(answer #> '{{body,valid}}') = 'boolean' THEN
        RETURN answer -> 'body';
    END IF;
    RAISE EXCEPTION 'the validator gave no verdict: %', coalesce(left(answer #>> '{{body,message}}', 200), 'no message')
        USING HINT = 'Look at the log of the function that validate_event calls.';
END
$$;

CREATE OR REPLACE FUNCTION public.validate_event(event jsonb) RETURNS jsonb
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT public.event_verdict(called.payload)
    FROM aws_lambda.invoke(
        aws_commons.create_lambda_function_arn({function_name}, {region}),
        jsonb_build_object('action', 'validate_event', 'data', event),
        'RequestResponse'
    ) AS called;
END;
