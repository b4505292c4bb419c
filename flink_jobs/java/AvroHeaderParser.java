package headwater;

import java.nio.ByteBuffer;

import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericDatumReader;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericRecord;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.FunctionContext;

/**
 * Reads the value of one raw record in Confluent's wire format, a zero byte, the schema's id in four bytes and Avro in
 * binary, into the columns that HeaderParser gives; or says why it cannot, in the column `fault`.
 *
 * A fault is what the record itself is guilty of. A registry that does not answer is none: it ends the attempt, and the
 * job starts again from its checkpoint until the registry is back.
 *
 * Written for Janino, the compiler that Flink carries: no generics, no lambdas.
 */
public class AvroHeaderParser extends HeaderParser {

    /** The job's parameters; Flink masks those named `basic-auth` or `token` wherever it shows them. */
    private static final String PARAMETER = "headwater.schema-registry.";
    private static final int HEAD = 5;

    private transient SchemaLookup schemas;

    public void open(FunctionContext context) throws Exception {
        schemas = new SchemaLookup(
            context.getJobParameter(PARAMETER + "url", ""),
            context.getJobParameter(PARAMETER + "basic-auth.user-info", ""),
            context.getJobParameter(PARAMETER + "bearer-auth.token", ""),
            TEXTS,
            NUMBER);
    }

    public void eval(byte[] value) {
        GenericRowData row = new GenericRowData(WIDTH);
        String fault = read(value, row);
        if (fault != null) {
            row = new GenericRowData(WIDTH);
            row.setField(FAULT_AT, StringData.fromString(fault));
        }
        collect(row);
    }

    /** Fills the row; returns why the value is no header, or null. */
    private String read(byte[] value, GenericRowData row) {
        if (value.length < HEAD || value[0] != 0) {
            return "not Avro: no zero byte and schema id before it";
        }
        int id = ByteBuffer.wrap(value, 1, 4).getInt();
        Object found = schemas.reader(id);
        if (found instanceof String) {
            return "not Avro: " + found;
        }
        BoundedDecoder decoder = new BoundedDecoder(value, HEAD);
        GenericRecord header;
        try {
            header = (GenericRecord) ((GenericDatumReader) found).read(null, decoder);
        } catch (Exception e) {
            return "not Avro of schema " + id + ": " + e;
        }
        if (!decoder.isAtEnd()) {
            return "not Avro of schema " + id + ": more than one value";
        }
        return fill(header, row);
    }

    /** Columns that the writer did not know stay null; what it knew beyond them was passed over (CD-116). */
    private String fill(GenericRecord header, GenericRowData row) {
        for (int i = 0; i <= TEXTS.length; i++) {
            String name = i < TEXTS.length ? TEXTS[i] : NUMBER;
            Schema.Field field = header.getSchema().getField(name);
            Object value = field == null ? null : header.get(field.pos());
            if (value == null) {
                continue;
            }
            boolean text = value instanceof CharSequence;
            if (i == NUMBER_AT) {
                if (!(value instanceof Long) && !(value instanceof Integer)) {
                    return "field " + name + " is not a whole number";
                }
                row.setField(i, Long.valueOf(((Number) value).longValue()));
            } else if (i == 0 && !text) {
                return "field id is not a text";
            } else if (text || value instanceof Number || value instanceof Boolean) {
                // A number or boolean where text is expected is taken as text (CD-116).
                row.setField(i, StringData.fromString(value.toString()));
            } else {
                return "field " + name + " is not a plain value";
            }
        }
        return row.isNullAt(0) || row.getString(0).toString().isEmpty() ? "field id is missing" : null;
    }
}
