-- Invoke Lambda functions from SQL, with the signatures of AWS's extension of this name:
-- https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/PostgreSQL-Lambda-functions.html
--
-- A request leaves as a logical message that is in no transaction, so that the bridge (python -m callbacks.bridge) reads
-- it while the caller's transaction is open. The answer comes back as a row, which the caller looks for.

-- Lost in a crash of the server, as are the sessions that waited.
CREATE UNLOGGED TABLE aws_lambda._answer (
    id uuid PRIMARY KEY,
    expires timestamptz NOT NULL,
    status_code int,
    -- UTF-8, whatever the encoding of the database: what cannot be converted is an error of its caller alone.
    payload bytea,
    executed_version text,
    log_result text,
    failure text,
    detail text,
    hint text
);

-- The bridge that reads requests, in one row. It also holds the advisory lock that _running looks for.
CREATE UNLOGGED TABLE aws_lambda._bridge (
    generation uuid NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Returns the generation of the bridge that reads requests now; NULL when there is none.
CREATE FUNCTION aws_lambda._running() RETURNS uuid
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    -- 'lamb', 1. Its holder's end frees it, however it ends.
    IF pg_catalog.pg_try_advisory_lock_shared(1818324322, 1) THEN
        PERFORM pg_catalog.pg_advisory_unlock_shared(1818324322, 1);
        RETURN NULL;
    END IF;
    RETURN (SELECT generation FROM aws_lambda._bridge LIMIT 1);
END
$$;

CREATE FUNCTION aws_lambda.bridge_running() RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT aws_lambda._running() IS NOT NULL
$$;

CREATE FUNCTION aws_lambda._timeout(parameter text, otherwise int) RETURNS int
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    given text := coalesce(nullif(pg_catalog.current_setting('aws_lambda.' || parameter, true), ''), otherwise::text);
BEGIN
    IF given !~ '^[0-9]{1,6}$' OR given::int NOT BETWEEN 1 AND 900000 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = pg_catalog.format('aws_lambda.%s is %L', parameter, given),
            HINT = 'Set a number of milliseconds from 1 to 900000.';
    END IF;
    RETURN given::int;
END
$$;

CREATE FUNCTION aws_lambda._refuse(detail text, hint text) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    -- The state is none of a lost connection: that of the caller is well.
    RAISE EXCEPTION USING
        ERRCODE = 'system_error', MESSAGE = 'invoke API failed', DETAIL = detail, HINT = hint;
END
$$;

-- Invokes and waits. Called by the functions below with the rights of their owner.
CREATE FUNCTION aws_lambda._invoke(
    function_name text, region text, payload text, invocation_type text, log_type text, context text, qualifier text
) RETURNS aws_lambda._answer
    LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    request_ms int := aws_lambda._timeout('request_timeout_ms', 3000);
    connect_ms int := aws_lambda._timeout('connect_timeout_ms', 1000);
    deadline timestamptz;
    bridge uuid;
    request bytea;
    request_id uuid := gen_random_uuid();
    looks int := 0;
    looked timestamptz;
    lost boolean := false;
    present timestamptz;
    answer aws_lambda._answer;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('aws_lambda.invoke cannot run in a transaction that is %s', current_setting('transaction_isolation')),
            DETAIL = 'The answer is a row that comes after the snapshot of such a transaction. AWS has no such limit.',
            HINT = 'Use READ COMMITTED.';
    END IF;
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION USING
            ERRCODE = 'read_only_sql_transaction',
            MESSAGE = 'aws_lambda.invoke cannot run on a standby',
            HINT = 'Connect to the primary.';
    END IF;
    IF invocation_type IS NULL OR invocation_type NOT IN ('RequestResponse', 'Event', 'DryRun') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invocation type %s', coalesce(quote_literal(invocation_type), 'NULL')),
            HINT = 'Give RequestResponse, Event or DryRun.';
    END IF;
    IF log_type IS NULL OR log_type NOT IN ('None', 'Tail') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('log type %s', coalesce(quote_literal(log_type), 'NULL')),
            HINT = 'Give None or Tail.';
    END IF;
    IF payload IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed', MESSAGE = 'the payload is NULL', HINT = 'Give ''null'' as JSON.';
    END IF;
    -- One line of JSON, then the payload as it is, which nobody reads on the way.
    request := convert_to(payload, 'UTF8');
    IF octet_length(request) > 6291456 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('the payload has %s bytes', octet_length(request)),
            HINT = 'Lambda takes 6291456 (6 MB) at most.';
    END IF;
    region := aws_commons._lambda_region(function_name, region);

    LOOP
        bridge := aws_lambda._running();
        EXIT WHEN bridge IS NOT NULL;
        IF clock_timestamp() >= started + least(connect_ms, request_ms) * interval '1 ms' THEN
            PERFORM aws_lambda._refuse(
                format('The callback bridge does not run for database %I.', current_database()),
                'Start it with: python -m callbacks.bridge');
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;

    started := clock_timestamp();
    deadline := started + request_ms * interval '1 ms';
    request := convert_to(json_build_object(
        'id', request_id, 'generation', bridge, 'deadline', extract(epoch FROM deadline), 'connect_ms', connect_ms,
        'function', function_name, 'region', region, 'type', invocation_type, 'log', log_type,
        'context', context, 'qualifier', qualifier
    )::text || E'\n', 'UTF8') || request;
    -- Flushed, because the server sends nothing else. Before 17 this has no such parameter, and the bridge sees to it.
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM pg_logical_emit_message(false, 'aws_lambda', request, true);
    ELSE
        PERFORM pg_logical_emit_message(false, 'aws_lambda', request);
    END IF;
    request := NULL;

    LOOP
        present := clock_timestamp();
        IF present > coalesce(looked, started) + interval '100 ms' THEN
            looked := present;
            lost := aws_lambda._running() IS DISTINCT FROM bridge;
        END IF;
        -- After the look for the bridge: it may have answered before its end.
        SELECT * INTO answer FROM aws_lambda._answer AS each WHERE each.id = request_id;
        EXIT WHEN FOUND;
        IF lost THEN
            PERFORM aws_lambda._refuse(
                'The callback bridge ended while it had this call.',
                format('Whether %s has run is not known; call again if it may run twice.', function_name));
        ELSIF present >= deadline THEN
            PERFORM aws_lambda._refuse(
                format('Timeout was reached: no answer of %s within %s ms.', function_name, request_ms),
                'Raise aws_lambda.request_timeout_ms, or look at the log of the callback bridge.');
        END IF;
        looks := looks + 1;
        -- A millisecond at first, which is the shortest; then an eighth of the time so far, a twentieth of a second at most.
        PERFORM pg_sleep(least(0.05, greatest(0.001, extract(epoch FROM present - started) / 8)));
    END LOOP;
    IF answer.failure = 'function' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'external_routine_exception',
            MESSAGE = 'lambda invocation failed',
            DETAIL = format('"%s" returned error "Unhandled", details: "%s"', function_name, answer.detail);
    ELSIF answer.failure IS NOT NULL THEN
        PERFORM aws_lambda._refuse(answer.detail, coalesce(answer.hint, 'Look at the log of the callback bridge.'));
    END IF;
    RETURN answer;
END
$$;

CREATE FUNCTION aws_lambda.invoke(
    IN function_name text,
    IN payload json,
    IN region text DEFAULT NULL,
    IN invocation_type text DEFAULT 'RequestResponse',
    IN log_type text DEFAULT 'None',
    IN context json DEFAULT NULL,
    IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int,
    OUT payload json,
    OUT executed_version text,
    OUT log_result text
)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
    SELECT a.status_code, convert_from(a.payload, 'UTF8')::json, a.executed_version, a.log_result
    FROM aws_lambda._invoke($1, $3, $2::text, $4, $5, $6::text, $7) AS a
$$;

CREATE FUNCTION aws_lambda.invoke(
    IN function_name aws_commons._lambda_function_arn_1,
    IN payload json,
    IN invocation_type text DEFAULT 'RequestResponse',
    IN log_type text DEFAULT 'None',
    IN context json DEFAULT NULL,
    IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int,
    OUT payload json,
    OUT executed_version text,
    OUT log_result text
)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
    SELECT a.status_code, convert_from(a.payload, 'UTF8')::json, a.executed_version, a.log_result
    FROM aws_lambda._invoke(($1).function_name, ($1).region, $2::text, $3, $4, $5::text, $6) AS a
$$;

CREATE FUNCTION aws_lambda.invoke(
    IN function_name text,
    IN payload jsonb,
    IN region text DEFAULT NULL,
    IN invocation_type text DEFAULT 'RequestResponse',
    IN log_type text DEFAULT 'None',
    IN context jsonb DEFAULT NULL,
    IN qualifier varchar(128) DEFAULT NULL,
    OUT status_code int,
    OUT payload jsonb,
    OUT executed_version text,
    OUT log_result text
)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
    SELECT a.status_code, convert_from(a.payload, 'UTF8')::jsonb, a.executed_version, a.log_result
    FROM aws_lambda._invoke($1, $3, $2::text, $4, $5, $6::text, $7) AS a
$$;

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
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
    SELECT a.status_code, convert_from(a.payload, 'UTF8')::jsonb, a.executed_version, a.log_result
    FROM aws_lambda._invoke(($1).function_name, ($1).region, $2::text, $3, $4, $5::text, $6) AS a
$$;

-- As on AWS, a role needs GRANT USAGE ON SCHEMA aws_lambda and GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aws_lambda.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA aws_lambda FROM PUBLIC;
