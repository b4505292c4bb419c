package headwater;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.RestService;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SchemaString;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.security.basicauth.UserInfoCredentialProvider;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.security.bearerauth.StaticTokenCredentialProvider;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericDatumReader;

/**
 * Gives the reader of a schema id: asked of the registry once, then known for as long as the task lives.
 *
 * Only the registry's own word that there is no such schema (status 404 with its code 40403) counts against a record.
 * Whatever else it answers, and no answer, is thrown.
 *
 * Written for Janino, the compiler that Flink carries: no generics, no lambdas.
 */
public class SchemaLookup {

    private static final int NOT_FOUND = 404;
    private static final int NO_SUCH_SCHEMA = 40403;
    private static final int TIMEOUT_MS = 5000;
    /** A registry of several nodes may need a moment to know everywhere what one of them has taken. */
    private static final int TRIES = 3;
    private static final long PAUSE_MS = 100;
    private static final long REMEMBERED_MS = 30000;
    private static final int MOST_REFUSED = 1000;

    private final RestService registry;
    private final List columns;
    private final Map readers = new HashMap();
    private final Map refused = new HashMap();
    private long refusedSince;

    public SchemaLookup(String url, String userInfo, String token, String[] texts, String number) {
        registry = new RestService(url);
        registry.setHttpConnectTimeoutMs(TIMEOUT_MS);
        registry.setHttpReadTimeoutMs(TIMEOUT_MS);
        if (!userInfo.isEmpty()) {
            UserInfoCredentialProvider provider = new UserInfoCredentialProvider();
            provider.configure(Collections.singletonMap("basic.auth.user.info", userInfo));
            registry.setBasicAuthCredentialProvider(provider);
        }
        if (!token.isEmpty()) {
            StaticTokenCredentialProvider provider = new StaticTokenCredentialProvider();
            provider.configure(Collections.singletonMap("bearer.auth.token", token));
            registry.setBearerAuthCredentialProvider(provider);
        }
        columns = new ArrayList(Arrays.asList(texts));
        columns.add(number);
    }

    /** Returns a GenericDatumReader, or as a String why there is none. */
    public Object reader(int id) {
        Integer key = Integer.valueOf(id);
        Object known = readers.get(key);
        if (known != null) {
            return known;
        }
        long now = System.currentTimeMillis();
        if (now - refusedSince > REMEMBERED_MS || refused.size() >= MOST_REFUSED) {
            refused.clear();
            refusedSince = now;
        }
        known = refused.get(key);
        if (known == null) {
            known = ask(id);
            (known instanceof String ? refused : readers).put(key, known);
        }
        return known;
    }

    private Object ask(int id) {
        for (int attempt = 1;; attempt++) {
            try {
                return prepare(id, registry.getId(id));
            } catch (RestClientException e) {
                if (e.getStatus() != NOT_FOUND || e.getErrorCode() != NO_SUCH_SCHEMA) {
                    throw new IllegalStateException(
                        "the schema registry does not serve schema " + id + ", it will be asked again: " + e.getMessage(), e);
                }
                if (attempt == TRIES) {
                    return "the schema registry has no schema " + id;
                }
                pause();
            } catch (java.io.IOException e) {
                throw new IllegalStateException("the schema registry does not answer, it will be asked again: " + e, e);
            }
        }
    }

    private void pause() {
        try {
            Thread.sleep(PAUSE_MS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("the task was told to end", e);
        }
    }

    /** Reads as the writer wrote, but only our columns, so that no other change of the table is of any concern. */
    private Object prepare(int id, SchemaString found) {
        String type = found.getSchemaType();
        if (type != null && !type.equals("AVRO")) {
            return "schema " + id + " is one of " + type;
        }
        try {
            Schema writer = new Schema.Parser().parse(found.getSchemaString());
            if (writer.getType() != Schema.Type.RECORD) {
                return "schema " + id + " is not of a record";
            }
            List kept = new ArrayList();
            for (int i = 0; i < writer.getFields().size(); i++) {
                Schema.Field field = (Schema.Field) writer.getFields().get(i);
                if (columns.contains(field.name())) {
                    kept.add(new Schema.Field(field, field.schema()));
                }
            }
            Schema ours = Schema.createRecord(writer.getName(), null, writer.getNamespace(), false, kept);
            return new GenericDatumReader(writer, ours);
        } catch (RuntimeException e) {
            return "schema " + id + " cannot be used: " + e.getMessage();
        }
    }
}
