package headwater;

import java.util.HashMap;
import java.util.Map;

import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.JsonValueOnEmptyOrError;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.runtime.functions.SqlJsonUtils;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;

/**
 * JSON_VALUE(document, path) as Flink evaluates it, at most once for each path of a record.
 *
 * Flink parses the document anew wherever JSON_VALUE stands, and filters that tell the records of one type apart ask for
 * the same path again and again. What is asked of the same document is remembered until another one comes; every answer
 * is Flink's own.
 *
 * Written for Janino, the compiler that Flink carries: no generics, no lambdas.
 */
public class HeaderValue extends ScalarFunction {

    private transient StringData document;
    private transient Map answers;

    public TypeInference getTypeInference(DataTypeFactory factory) {
        DataType text = (DataType) DataTypes.STRING().bridgedTo(StringData.class);
        return TypeInference.newBuilder()
            .typedArguments(new DataType[] {text, DataTypes.STRING()})
            .outputTypeStrategy(TypeStrategies.explicit(text))
            .build();
    }

    public StringData eval(StringData asked, String path) {
        if (asked == null) {
            return null;
        }
        if (answers == null) {
            answers = new HashMap();
        }
        // The very same object, not an equal one: a record's columns are made once and only read afterwards.
        if (asked != document) {
            answers.clear();
            document = asked;
        }
        StringData known = (StringData) answers.get(path);
        if (known == null && !answers.containsKey(path)) {
            Object found = SqlJsonUtils.jsonValue(
                asked.toString(), path, JsonValueOnEmptyOrError.NULL, null, JsonValueOnEmptyOrError.NULL, null);
            known = found == null ? null : StringData.fromString(found.toString());
            answers.put(path, known);
        }
        return known;
    }
}
