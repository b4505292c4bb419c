package headwater;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParseException;
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
 * JSON_VALUE(document, path) for the paths that a filter may have, `$` and then `.name` or `[number]`.
 *
 * Flink builds the whole document as objects wherever JSON_VALUE stands, once for each time it is asked. This reads the
 * text through with the same parser, keeps only what the path leads to, and remembers the answers until another document
 * comes. A test compares the two on generated documents.
 *
 * Written for Janino, the compiler that Flink carries: no generics, no lambdas.
 */
public class HeaderValue extends ScalarFunction {

    private transient JsonFactory json;
    private transient Map paths;
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
            json = new JsonFactory();
            paths = new HashMap();
            answers = new HashMap();
        }
        // The very same object, not an equal one: a record's columns are made once and only read afterwards.
        if (asked != document) {
            answers.clear();
            document = asked;
        }
        StringData known = (StringData) answers.get(path);
        if (known == null && !answers.containsKey(path)) {
            Object[] steps = (Object[]) paths.get(path);
            if (steps == null) {
                steps = steps(path);
                paths.put(path, steps);
            }
            String found;
            try {
                found = read(asked.toString(), steps);
            } catch (Exception e) {
                // A document that is no JSON has nothing at any path.
                found = null;
            }
            known = found == null ? null : StringData.fromString(found);
            answers.put(path, known);
        }
        return known;
    }

    /** The steps of a path: a text is a name, a number an index. */
    private static Object[] steps(String path) {
        List steps = new ArrayList();
        int at = 1;
        while (at < path.length()) {
            int end = at + 1;
            while (end < path.length() && path.charAt(end) != '.' && path.charAt(end) != '[') {
                end++;
            }
            if (path.charAt(at) == '.') {
                steps.add(path.substring(at + 1, end));
            } else {
                steps.add(Long.valueOf(index(path.substring(at + 1, end - 1))));
            }
            at = end;
        }
        return steps.toArray();
    }

    /** No array has an element at an index that is too large for an int. */
    private static long index(String digits) {
        try {
            return Integer.parseInt(digits);
        } catch (NumberFormatException e) {
            return -1;
        }
    }

    private String read(String text, Object[] steps) throws IOException {
        JsonParser parser = json.createParser(text);
        try {
            return value(parser, parser.nextToken(), steps, 0);
        } finally {
            parser.close();
        }
    }

    /**
     * Reads one value to its end; what stands there if the path ends at it, or what the path leads to within it.
     *
     * @param depth how many steps have led here, -1 beside the path
     */
    private static String value(JsonParser parser, JsonToken token, Object[] steps, int depth) throws IOException {
        if (token == null) {
            throw new JsonParseException(parser, "the document ends too early");
        }
        String found = null;
        if (token == JsonToken.START_OBJECT) {
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                // Of equal names the last counts, whatever is there.
                if (depth >= 0 && depth < steps.length && parser.getCurrentName().equals(steps[depth])) {
                    found = value(parser, parser.nextToken(), steps, depth + 1);
                } else {
                    value(parser, parser.nextToken(), steps, -1);
                }
            }
        } else if (token == JsonToken.START_ARRAY) {
            long wanted = depth >= 0 && depth < steps.length && steps[depth] instanceof Long
                ? ((Long) steps[depth]).longValue() : -1;
            JsonToken next = parser.nextToken();
            for (long index = 0; next != JsonToken.END_ARRAY; index++) {
                if (index == wanted) {
                    found = value(parser, next, steps, depth + 1);
                } else {
                    value(parser, next, steps, -1);
                }
                next = parser.nextToken();
            }
        } else {
            // A number is looked at wherever it stands: one that Java cannot hold spoils the document.
            String number = null;
            if (token == JsonToken.VALUE_NUMBER_INT) {
                number = parser.getNumberValue().toString();
            } else if (token == JsonToken.VALUE_NUMBER_FLOAT) {
                number = parser.getDecimalValue().toString();
            }
            if (depth == steps.length && token != JsonToken.VALUE_NULL) {
                found = number != null ? number : parser.getText();
            }
        }
        return found;
    }
}
