-- The three tables of the pipeline and the publication that change capture reads (EV-70 to EV-79, CD-1, CD-7).
-- Idempotent: run it as often as you like, on PostgreSQL 15 to 18, as the owner of the tables.
-- The local stack, the compose file and the cloud deploy step all run exactly this file.

BEGIN;

-- CREATE ... IF NOT EXISTS still races with itself; two deploys at once take turns here.
SELECT pg_advisory_xact_lock(hashtextextended('headwater.tables', 0));

-- The event as it was received.
CREATE TABLE IF NOT EXISTS public.business_events (
    id           varchar(255) PRIMARY KEY,
    event_name   varchar(255) NOT NULL,
    event_type   varchar(255),
    created_date timestamptz,
    saved_date   timestamptz,
    event_data   jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_business_events_event_type ON public.business_events (event_type);
CREATE INDEX IF NOT EXISTS idx_business_events_created_date ON public.business_events (created_date);

-- The header alone: the only table that is captured into Kafka.
CREATE TABLE IF NOT EXISTS public.event_headers (
    id           varchar(255) PRIMARY KEY,
    event_name   varchar(255) NOT NULL,
    event_type   varchar(255),
    created_date timestamptz,
    saved_date   timestamptz,
    header_data  jsonb NOT NULL,
    CONSTRAINT fk_event_headers_business_events
        FOREIGN KEY (id) REFERENCES public.business_events (id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS idx_event_headers_event_type ON public.event_headers (event_type);
CREATE INDEX IF NOT EXISTS idx_event_headers_created_date ON public.event_headers (created_date);

-- The newest state of every entity of any type; event_id is the event that wrote it last.
CREATE TABLE IF NOT EXISTS public.entities (
    entity_type varchar(255) NOT NULL,
    entity_id   varchar(255) NOT NULL,
    created_at  timestamptz,
    updated_at  timestamptz,
    entity_data jsonb NOT NULL,
    event_id    varchar(255),
    PRIMARY KEY (entity_type, entity_id),
    CONSTRAINT fk_entities_event_headers
        FOREIGN KEY (event_id) REFERENCES public.event_headers (id) ON DELETE SET NULL
);
CREATE INDEX IF NOT EXISTS idx_entities_event_id ON public.entities (event_id);
CREATE INDEX IF NOT EXISTS idx_entities_updated_at ON public.entities (updated_at);

-- CREATE PUBLICATION knows no IF NOT EXISTS. A publication that lost its table gets it back; tables that somebody
-- added are left alone, because the capture process checks the list itself and names the remedy.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'event_headers_debezium_publication') THEN
        CREATE PUBLICATION event_headers_debezium_publication FOR TABLE public.event_headers;
    ELSIF NOT EXISTS (
        SELECT FROM pg_publication_tables
        WHERE pubname = 'event_headers_debezium_publication' AND schemaname = 'public' AND tablename = 'event_headers'
    ) THEN
        ALTER PUBLICATION event_headers_debezium_publication ADD TABLE public.event_headers;
    END IF;
END
$$;

COMMIT;
