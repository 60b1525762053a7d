package tbevents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Reader reads the events of a file one by one. It decodes what Writer writes and skips other
// content, such as images and histograms.
type Reader struct {
	r      io.Reader
	offset int64
	body   bytes.Buffer // of a record
}

// NewReader returns a Reader of the event file r, which should be buffered, because the Reader
// reads in small pieces.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Offset returns the position in bytes at which the last event returned by Next ends. A file cut
// there is whole.
func (r *Reader) Offset() int64 { return r.offset }

// Next returns the next event, or io.EOF after the last one, or another error if the rest of the
// file is torn or damaged. After an error only Offset may be called.
func (r *Reader) Next() (Event, error) {
	var head [12]byte
	if _, err := io.ReadFull(r.r, head[:]); err == io.EOF {
		return Event{}, io.EOF
	} else if err != nil {
		return Event{}, r.errorf("length: %w", err)
	}
	if got, want := binary.LittleEndian.Uint32(head[8:]), checksum(head[:8]); got != want {
		return Event{}, r.errorf("checksum of the length is %08x, want %08x", got, want)
	}
	length := binary.LittleEndian.Uint64(head[:])
	if length > math.MaxInt64-4 {
		return Event{}, r.errorf("impossible length %d", length)
	}
	// The buffer grows only with the bytes that are there, so a forged length allocates nothing.
	r.body.Reset()
	if n, err := io.CopyN(&r.body, r.r, int64(length)+4); err != nil {
		return Event{}, r.errorf("%d bytes, want %d: %w", n, length+4, err)
	}
	data, sum := r.body.Bytes()[:length], r.body.Bytes()[length:]
	if got, want := binary.LittleEndian.Uint32(sum), checksum(data); got != want {
		return Event{}, r.errorf("checksum is %08x, want %08x", got, want)
	}
	e, err := parseEvent(data)
	if err != nil {
		return Event{}, r.errorf("%w", err)
	}
	r.offset += int64(len(head)) + int64(r.body.Len())
	return e, nil
}

func (r *Reader) errorf(format string, args ...any) error {
	return fmt.Errorf("tbevents: record at byte %d: "+format, append([]any{r.offset}, args...)...)
}

// parseEvent decodes the message Event; see appendEvent.
func parseEvent(b []byte) (Event, error) {
	var e Event
	err := fields(b, func(f field) error {
		switch f.key {
		case 1<<3 | wireFixed64:
			e.Wall = math.Float64frombits(f.number)
		case 2<<3 | wireVarint:
			e.Step = int64(f.number)
		case 3<<3 | wireBytes:
			e.Version = string(f.bytes)
		case 5<<3 | wireBytes:
			return fields(f.bytes, func(f field) error {
				if f.key == 1<<3|wireBytes {
					return e.parseValue(f.bytes)
				}
				return nil
			})
		}
		return nil
	})
	return e, err
}

// parseValue decodes the message Summary.Value and keeps it if it is a scalar.
func (e *Event) parseValue(b []byte) error {
	var s Scalar
	isScalar := false
	err := fields(b, func(f field) error {
		switch f.key {
		case 1<<3 | wireBytes:
			s.Tag = string(f.bytes)
		case 2<<3 | wireFixed32:
			s.Value = float64(math.Float32frombits(uint32(f.number)))
			isScalar = true
		}
		return nil
	})
	if isScalar {
		e.Scalars = append(e.Scalars, s)
	}
	return err
}

// Wire types of protocol buffers.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field is one field of a message: its key, which is number<<3 | wire type, and its content, in
// number or, for wireBytes, in bytes.
type field struct {
	key    uint64
	number uint64
	bytes  []byte
}

var errMessage = errors.New("damaged protocol buffer")

// fields calls do for each field of a message.
func fields(b []byte, do func(field) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return errMessage
		}
		b = b[n:]
		f := field{key: key}
		size := 0 // of the content
		switch key & 7 {
		case wireVarint:
			if f.number, size = binary.Uvarint(b); size <= 0 {
				return errMessage
			}
		case wireFixed64:
			if size = 8; len(b) < size {
				return errMessage
			}
			f.number = binary.LittleEndian.Uint64(b)
		case wireBytes:
			count, n := binary.Uvarint(b)
			if n <= 0 || count > uint64(len(b)-n) {
				return errMessage
			}
			size = n + int(count)
			f.bytes = b[n:size]
		case wireFixed32:
			if size = 4; len(b) < size {
				return errMessage
			}
			f.number = uint64(binary.LittleEndian.Uint32(b))
		default:
			return errMessage
		}
		b = b[size:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}
