package headwater;

import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.Map;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;

/**
 * The topic that a table has for a value, or null. The table is a JSON object of texts, a literal of the statement.
 *
 * A CASE says the same, but becomes Java code for each of its values, which the JVM compiles anew at each start of a job.
 *
 * Written for Janino, the compiler that Flink carries: no generics, no lambdas.
 */
public class TopicOf extends ScalarFunction {

    /** More than any job has: a table that is made anew for each record must not fill the memory. */
    private static final int MOST_TABLES = 10000;

    private transient Map tables;

    public TypeInference getTypeInference(DataTypeFactory factory) {
        DataType text = (DataType) DataTypes.STRING().bridgedTo(StringData.class);
        return TypeInference.newBuilder()
            .typedArguments(new DataType[] {text, text})
            .outputTypeStrategy(TypeStrategies.explicit(text))
            .build();
    }

    public StringData eval(StringData value, StringData table) throws Exception {
        if (value == null || table == null) {
            return null;
        }
        if (tables == null || tables.size() > MOST_TABLES) {
            tables = new IdentityHashMap();
        }
        // By identity: a literal is one object for the life of the job, and its text may be long.
        Map topics = (Map) tables.get(table);
        if (topics == null) {
            topics = read(table.toString());
            tables.put(table, topics);
        }
        return (StringData) topics.get(value.toString());
    }

    private static Map read(String text) throws Exception {
        Map topics = new HashMap();
        JsonParser parser = new JsonFactory().createParser(text);
        try {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                topics.put(parser.getCurrentName(), StringData.fromString(parser.nextTextValue()));
            }
        } finally {
            parser.close();
        }
        return topics;
    }
}
