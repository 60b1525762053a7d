package tbevents

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// The record has the bytes of the protocol buffer, written out by hand.
func TestWriteHParams(t *testing.T) {
	var file bytes.Buffer
	settings := map[string]any{"opt": "gd", "lr": 0.5, "slim": true}
	if err := WriteHParams(&file, settings); err != nil {
		t.Fatal(err)
	}
	r := NewReader(bytes.NewReader(file.Bytes()))
	if e, err := r.Next(); err != nil || e.Version != version {
		t.Errorf("the first record is %+v, %v", e, err)
	}
	data := file.Bytes()[r.Offset():]
	if n := int(binary.LittleEndian.Uint64(data)); len(data) != n+16 {
		t.Fatalf("a record of %d bytes in %d, want one record", n, len(data))
	}
	start := "\x0a\x0f" + "\x0a\x02lr" + "\x12\x09" + "\x11\x00\x00\x00\x00\x00\x00\xe0\x3f" +
		"\x0a\x0b" + "\x0a\x03opt" + "\x12\x04" + "\x1a\x02gd" +
		"\x0a\x0a" + "\x0a\x04slim" + "\x12\x02" + "\x20\x01" // 17 + 13 + 12 bytes
	want := "\x0a\x07hparams" + "\x12\x2c" + "\x1a\x2a" + start
	if !strings.Contains(string(data), want) {
		t.Errorf("the record is %q, want %q in it", data, want)
	}
	if err := WriteHParams(&file, map[string]any{"lr": []int{1}}); err == nil ||
		!strings.HasPrefix(err.Error(), "tbevents: lr: a value of type []int, want a number") {
		t.Error(err)
	}
}
