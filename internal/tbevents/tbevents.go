// Package tbevents writes scalars to TensorBoard event files: step by step, where it cuts a file
// back so that a resumed run continues it from its checkpoint, or a whole file at once.
//
// A file is a sequence of records (the framing of TFRecord files)
//
//	8 bytes   length n of the data, unsigned, little endian
//	4 bytes   masked CRC-32C of these 8 bytes
//	n bytes   data: the protocol buffer Event of tensorflow/core/util/event.proto
//	4 bytes   masked CRC-32C of the data
//
// where masked means rotated right by 15 bits, plus 0xa282ead8. The first record holds the version
// "brain.Event:2", and each other record holds the scalars of a step. TensorBoard stores float32:
// where precision matters, use metrics.jsonl.
package tbevents

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"time"

	"momentum/internal/durable"
)

const version = "brain.Event:2"

var errNotEvents = errors.New("does not begin like an event file; move it away")

// Scalar is a value of a curve, for example {"train/loss", 2.3}.
type Scalar struct {
	Tag   string
	Value float64 // stored as float32
}

// Event is the content of one record.
type Event struct {
	Wall    float64 // seconds since 1970
	Step    int64
	Version string // only in the first record
	Scalars []Scalar
}

// Writer appends events to a file.
type Writer struct {
	f    *os.File
	size int64 // in bytes, all in whole records
	step int64 // of the last record
}

// Open opens the event file at path for appending, or creates it. TensorBoard finds files whose
// name contains "tfevents". An existing file is cut off before its first record with a step after
// keepUpToStep, or before its first torn or damaged record; the records before stay as they are,
// with their wall times. A file that does not begin like an event file is an error and is not
// changed. A link to nothing gives way to a file.
func Open(path string, keepUpToStep int64) (*Writer, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tbevents: %w", err)
	}
	w := &Writer{f: f, step: math.MinInt64}
	if err := w.resume(keepUpToStep); err != nil {
		f.Close()
		return nil, fmt.Errorf("tbevents: %s: %w", path, err)
	}
	return w, nil
}

// resume finds the last record to keep, cuts the file behind it, and writes the first record if the
// file has none.
func (w *Writer) resume(keepUpToStep int64) error {
	first := frame(appendEvent(nil, Event{Wall: seconds(time.Now()), Version: version}))
	info, err := w.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < int64(len(first)) { // new, or its first record is torn
		start := make([]byte, min(info.Size(), 12)) // the bytes before the time
		if _, err := w.f.ReadAt(start, 0); err != nil {
			return err
		}
		if !bytes.HasPrefix(first, start) {
			return errNotEvents
		}
		return w.append(first)
	}
	r := NewReader(bufio.NewReader(w.f))
	e, err := r.Next()
	if err != nil || e.Version == "" {
		return errNotEvents
	}
	for {
		w.size = r.Offset()
		e, err := r.Next()
		if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
			return err // an error of the disk says nothing about the content
		}
		if err != nil || e.Step > keepUpToStep {
			break
		}
		w.step = e.Step
	}
	if w.size == info.Size() {
		return nil
	}
	return w.f.Truncate(w.size)
}

// Scalars appends one record with all values of a step. The record is handed to the system in one
// write, so that killing the process afterwards loses nothing. Steps must not decrease.
func (w *Writer) Scalars(step int64, wall time.Time, values []Scalar) error {
	if step < w.step {
		return fmt.Errorf("tbevents: %s: step %d after step %d, want increasing steps", w.f.Name(),
			step, w.step)
	}
	err := w.append(frame(appendEvent(nil, Event{Wall: seconds(wall), Step: step,
		Scalars: values})))
	if err != nil {
		return fmt.Errorf("tbevents: %w", err)
	}
	w.step = step
	return nil
}

// append writes a record. After an error the file is as it was before.
func (w *Writer) append(record []byte) error {
	if _, err := w.f.WriteAt(record, w.size); err != nil {
		return errors.Join(err, w.f.Truncate(w.size))
	}
	w.size += int64(len(record))
	return nil
}

// Flush flushes all records to disk, so that they outlast a power failure.
func (w *Writer) Flush() error {
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("tbevents: %w", err)
	}
	return nil
}

// Close flushes and closes the file.
func (w *Writer) Close() error {
	err := w.Flush()
	if closeErr := w.f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("tbevents: %w", closeErr)
	}
	return err
}

// Write writes a whole event file with the given records. It adds the first record, without a time,
// so equal records give equal bytes.
func Write(w io.Writer, events iter.Seq[Event]) error {
	if _, err := w.Write(frame(appendEvent(nil, Event{Version: version}))); err != nil {
		return err
	}
	var data []byte
	for e := range events {
		data = appendEvent(data[:0], e)
		if _, err := w.Write(frame(data)); err != nil {
			return err
		}
	}
	return nil
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// frame returns a record: its data with length and checksums.
func frame(data []byte) []byte {
	b := make([]byte, 0, len(data)+16)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, checksum(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, checksum(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the masked CRC-32C of the package comment. The CRC is masked because a CRC of
// data that contains CRCs is weak.
func checksum(b []byte) uint32 {
	crc := crc32.Checksum(b, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// appendEvent appends the protocol buffer
//
//	message Event {
//	  double wall_time = 1;
//	  int64 step = 2;
//	  string file_version = 3;
//	  Summary summary = 5;
//	}
//	message Summary {
//	  message Value { string tag = 1; float simple_value = 2; }
//	  repeated Value value = 1;
//	}
func appendEvent(b []byte, e Event) []byte {
	b = append(b, 1<<3|wireFixed64)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.Wall))
	if e.Step != 0 {
		b = append(b, 2<<3|wireVarint)
		b = binary.AppendUvarint(b, uint64(e.Step))
	}
	if e.Version != "" {
		b = appendBytes(b, 3, e.Version)
	}
	if len(e.Scalars) > 0 {
		var summary, value []byte
		for _, s := range e.Scalars {
			value = appendBytes(value[:0], 1, s.Tag)
			value = append(value, 2<<3|wireFixed32)
			value = binary.LittleEndian.AppendUint32(value, math.Float32bits(float32(s.Value)))
			summary = appendBytes(summary, 1, value)
		}
		b = appendBytes(b, 5, summary)
	}
	return b
}

// appendBytes appends a field that contains bytes or a message.
func appendBytes[T string | []byte](b []byte, number byte, content T) []byte {
	b = append(b, number<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(content)))
	return append(b, content...)
}
