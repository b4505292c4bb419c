package headwater;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

import org.apache.flink.avro.shaded.org.apache.avro.io.Decoder;
import org.apache.flink.avro.shaded.org.apache.avro.util.Utf8;

/**
 * Reads Avro's binary encoding (specification 1.12, "Binary Encoding") from the rest of an array, and never beyond it.
 *
 * Avro's own decoder allocates what a length asks for before it looks whether so many bytes are there: one broken record
 * could take gigabytes, and the process with them. Here a length is first held against what is left, and texts must be
 * UTF-8.
 *
 * Written for Janino, the compiler that Flink carries: no generics, no lambdas.
 */
public class BoundedDecoder extends Decoder {

    private final ByteBuffer rest;

    public BoundedDecoder(byte[] value, int from) {
        rest = ByteBuffer.wrap(value, from, value.length - from).order(ByteOrder.LITTLE_ENDIAN);
    }

    public boolean isAtEnd() {
        return !rest.hasRemaining();
    }

    /** Checks that so many bytes are left. */
    private int within(long length) throws IOException {
        if (length < 0 || length > rest.remaining()) {
            throw new EOFException("a length of " + length + " where " + rest.remaining() + " bytes are left");
        }
        return (int) length;
    }

    private byte[] take(long length) throws IOException {
        byte[] taken = new byte[within(length)];
        rest.get(taken);
        return taken;
    }

    private void pass(long length) throws IOException {
        rest.position(rest.position() + within(length));
    }

    public void readNull() {
    }

    public boolean readBoolean() throws IOException {
        within(1);
        return rest.get() == 1;
    }

    public int readInt() throws IOException {
        long number = readLong();
        if (number != (int) number) {
            throw new IOException(number + " is no int");
        }
        return (int) number;
    }

    public long readLong() throws IOException {
        long bits = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            within(1);
            byte next = rest.get();
            bits |= (next & 0x7fL) << shift;
            if (next >= 0) {
                return (bits >>> 1) ^ -(bits & 1);
            }
        }
        throw new IOException("a number of more than ten bytes");
    }

    public float readFloat() throws IOException {
        within(4);
        return rest.getFloat();
    }

    public double readDouble() throws IOException {
        within(8);
        return rest.getDouble();
    }

    public Utf8 readString(Utf8 old) throws IOException {
        return new Utf8(readString());
    }

    public String readString() throws IOException {
        return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(take(readLong()))).toString();
    }

    public void skipString() throws IOException {
        pass(readLong());
    }

    public ByteBuffer readBytes(ByteBuffer old) throws IOException {
        return ByteBuffer.wrap(take(readLong()));
    }

    public void skipBytes() throws IOException {
        pass(readLong());
    }

    public void readFixed(byte[] bytes, int start, int length) throws IOException {
        within(length);
        rest.get(bytes, start, length);
    }

    public void skipFixed(int length) throws IOException {
        pass(length);
    }

    public int readEnum() throws IOException {
        return readInt();
    }

    public int readIndex() throws IOException {
        return readInt();
    }

    /** A block has at most as many elements as bytes are left; of elements without a byte, more would be a trick. */
    private long block() throws IOException {
        long count = readLong();
        if (count < 0) {
            within(readLong());
            count = -count;
        }
        return within(count);
    }

    public long readArrayStart() throws IOException {
        return block();
    }

    public long arrayNext() throws IOException {
        return block();
    }

    /** Passes over blocks that tell their size, and returns the number of elements of one that does not. */
    public long skipArray() throws IOException {
        long count = readLong();
        while (count < 0) {
            pass(readLong());
            count = readLong();
        }
        return within(count);
    }

    public long readMapStart() throws IOException {
        return block();
    }

    public long mapNext() throws IOException {
        return block();
    }

    public long skipMap() throws IOException {
        return skipArray();
    }
}
