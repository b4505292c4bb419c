-- Names of AWS resources, with the signatures of AWS's extension of this name:
-- https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/PostgreSQL-Lambda-functions.html

CREATE TYPE aws_commons._lambda_function_arn_1 AS (function_name text, region text);

-- Returns the region to ask: the one given, or else that of a full ARN; NULL is the database's own.
CREATE FUNCTION aws_commons._lambda_region(function_name text, region text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Forms of a name: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
    parts text[] := regexp_match(
        function_name,
        '^(?:arn:aws[a-zA-Z-]*:lambda:([a-z]{2}(?:-[a-z]+)+-[0-9]):)?(?:[0-9]{12}:)?(?:function:)?'
        '[a-zA-Z0-9_-]+(?::(?:\$LATEST|[a-zA-Z0-9_-]+))?$'
    );
BEGIN
    IF parts IS NULL OR length(function_name) > 170 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s is not the name of a Lambda function', coalesce(quote_literal(left(function_name, 200)), 'NULL')),
            HINT = 'Give a name, a partial or a full ARN, such as my-function, 123456789012:function:my-function or'
                ' arn:aws:lambda:us-east-1:123456789012:function:my-function.';
    END IF;
    IF region !~ '^[a-z]{2}(-[a-z]+)+-[0-9]$' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%L is not an AWS region', left(region, 100)),
            HINT = 'Give one such as us-east-1, or NULL.';
    END IF;
    IF region <> parts[1] THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('region %L conflicts with that of %L', region, function_name),
            HINT = 'Leave the region out: a full ARN has one.';
    END IF;
    RETURN coalesce(region, parts[1]);
END
$$;

CREATE FUNCTION aws_commons.create_lambda_function_arn(function_name text, region text DEFAULT NULL)
    RETURNS aws_commons._lambda_function_arn_1
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ROW($1, aws_commons._lambda_region($1, $2))::aws_commons._lambda_function_arn_1
$$;

GRANT USAGE ON SCHEMA aws_commons TO PUBLIC;
