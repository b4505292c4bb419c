-- The validator in the transaction of an event (LC-99). These functions do nothing until somebody enables them:
--     SELECT enable_event_validation(timeout_ms => 2000, on_failure => 'open');
--     SELECT disable_event_validation();
-- Enabled, every new or changed row of business_events waits for the validator when its transaction commits.

CREATE OR REPLACE FUNCTION public.check_event() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    on_failure constant text := TG_ARGV[0];
    connect_before constant text := current_setting('aws_lambda.connect_timeout_ms', true);
    request_before constant text := current_setting('aws_lambda.request_timeout_ms', true);
    verdict jsonb;
    reason text;
    detail text;
BEGIN
    BEGIN
        -- The two settings of AWS's extension, for this call alone.
        PERFORM set_config('aws_lambda.connect_timeout_ms', TG_ARGV[1], true);
        PERFORM set_config('aws_lambda.request_timeout_ms', TG_ARGV[1], true);
        verdict := public.validate_event(NEW.event_data);
        PERFORM set_config('aws_lambda.connect_timeout_ms', coalesce(nullif(connect_before, ''), '1000'), true);
        PERFORM set_config('aws_lambda.request_timeout_ms', coalesce(nullif(request_before, ''), '3000'), true);
    EXCEPTION WHEN OTHERS THEN
        -- A cancelled query is not among these: it ends the transaction as it should.
        -- The extension says in the detail what went wrong.
        GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        reason := concat_ws(': ', reason, left(nullif(detail, ''), 300));
    END;
    IF reason IS NOT NULL THEN
        IF on_failure = 'closed' THEN
            RAISE EXCEPTION 'event % was not validated: %', NEW.id, reason
                USING ERRCODE = 'check_violation', TABLE = 'business_events', CONSTRAINT = 'event_is_valid',
                    HINT = 'Repeat the transaction when the validator answers, or SELECT disable_event_validation().';
        END IF;
        RAISE WARNING 'event % is stored without a verdict: %', NEW.id, reason;
    ELSIF NOT (verdict ->> 'valid')::boolean THEN
        SELECT string_agg(format('%s: %s', fault ->> 'field', fault ->> 'message'), '; ')
        INTO reason
        FROM jsonb_array_elements(verdict -> 'errors') AS fault;
        RAISE EXCEPTION 'event % is invalid: %', NEW.id, coalesce(reason, 'no reason given')
            USING ERRCODE = 'check_violation', TABLE = 'business_events', CONSTRAINT = 'event_is_valid',
                DETAIL = verdict::text;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION public.enable_event_validation(timeout_ms integer DEFAULT 2000, on_failure text DEFAULT 'open')
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    -- NOT (… IN …) would be null for a null, and so no refusal.
    IF timeout_ms IS NULL OR timeout_ms NOT BETWEEN 1 AND 900000 THEN
        RAISE EXCEPTION 'timeout_ms is %: give 1 to 900000', timeout_ms USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF on_failure IS NULL OR on_failure NOT IN ('open', 'closed') THEN
        RAISE EXCEPTION 'on_failure is %: give open or closed', quote_nullable(on_failure)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM public.disable_event_validation();
    EXECUTE format(
        'CREATE CONSTRAINT TRIGGER event_is_valid AFTER INSERT OR UPDATE OF event_data ON public.business_events'
        ' DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_event(%L, %L)',
        on_failure, timeout_ms
    );
END
$$;

CREATE OR REPLACE FUNCTION public.disable_event_validation() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = to_regclass('public.business_events') AND tgname = 'event_is_valid'
    ) THEN
        DROP TRIGGER event_is_valid ON public.business_events;
    END IF;
END
$$;
