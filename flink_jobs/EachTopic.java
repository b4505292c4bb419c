package headwater;

import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.TableFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;

/**
 * One row for each element of an array that is not null.
 *
 * UNNEST makes a row of each null as well, to be filtered away behind it: one for each filter that a record does not match.
 *
 * Written for Janino, the compiler that Flink carries: no generics, no lambdas.
 */
public class EachTopic extends TableFunction {

    public TypeInference getTypeInference(DataTypeFactory factory) {
        DataType text = (DataType) DataTypes.STRING().bridgedTo(StringData.class);
        return TypeInference.newBuilder()
            .typedArguments(new DataType[] {(DataType) DataTypes.ARRAY(text).bridgedTo(ArrayData.class)})
            .outputTypeStrategy(TypeStrategies.explicit(text))
            .build();
    }

    public void eval(ArrayData topics) {
        if (topics == null) {
            return;
        }
        for (int i = 0; i < topics.size(); i++) {
            if (!topics.isNullAt(i)) {
                collect(topics.getString(i));
            }
        }
    }
}
