package tbevents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChecksum(t *testing.T) {
	unmask := func(sum uint32) uint32 {
		rot := sum - 0xa282ead8
		return rot>>17 | rot<<15
	}
	// RFC 3720, B.4, and the check value of CRC-32C.
	for _, test := range []struct {
		in   []byte
		want uint32
	}{
		{make([]byte, 32), 0x8a9136aa},
		{bytes.Repeat([]byte{0xff}, 32), 0x62a8ab43},
		{[]byte("123456789"), 0xe3069283},
	} {
		if got := unmask(checksum(test.in)); got != test.want {
			t.Errorf("CRC-32C of %q: got %08x, want %08x", test.in, got, test.want)
		}
	}
	// The CRC of no data is 0, so only the mask's constant is left.
	if got := checksum(nil); got != 0xa282ead8 {
		t.Errorf("got %08x, want a282ead8", got)
	}
}

// Every event file of TensorFlow begins with these twelve bytes, the length 24 and its checksum.
// Then come the time and the version.
func TestFirstRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.out.tfevents.0")
	w := open(t, path, 0)
	w.Close()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("\x18\x00\x00\x00\x00\x00\x00\x00\xa3\x7f\x4b\x22" + "\x09")
	if !bytes.HasPrefix(got, want) {
		t.Errorf("got % x, want % x ...", got, want)
	}
	if want := []byte("\x1a\x0dbrain.Event:2"); !bytes.Equal(got[21:36], want) {
		t.Errorf("got %q, want %q", got[21:36], want)
	}
}

func TestAppendEvent(t *testing.T) {
	got := appendEvent(nil, Event{Wall: 1, Step: 300, Scalars: []Scalar{{"a", 0.5}}})
	want := "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f" + // 1: 1.0 as float64
		"\x10\xac\x02" + // 2: 300 = 2·128 + 44
		"\x2a\x0a" + "\x0a\x08" + "\x0a\x01a" + "\x15\x00\x00\x00\x3f" // 5.1: "a", 0.5 as float32
	if string(got) != want {
		t.Errorf("got  % x\nwant % x", got, want)
	}
}

func open(t *testing.T, path string, keepUpToStep int64) *Writer {
	t.Helper()
	w, err := Open(path, keepUpToStep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// write appends the steps from..to. The time of a step is 100+step.
func write(t *testing.T, w *Writer, from, to int64) {
	t.Helper()
	for s := from; s <= to; s++ {
		loss := []Scalar{{"loss", float64(s) / 2}}
		if err := w.Scalars(s, time.Unix(100+s, 0), loss); err != nil {
			t.Fatal(err)
		}
	}
}

// lines returns the events of a file as text, without the time of the first record.
func lines(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(bytes.NewReader(b))
	var out []string
	for {
		e, err := r.Next()
		if err == io.EOF {
			return strings.Join(out, "; ")
		} else if err != nil {
			t.Fatal(err)
		}
		if e.Version != "" {
			out = append(out, e.Version)
		} else {
			out = append(out, fmt.Sprint(e.Step, e.Wall, e.Scalars))
		}
	}
}

func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.out.tfevents.0")
	w := open(t, path, -1)
	write(t, w, 0, 3)
	if err := w.Scalars(2, time.Unix(0, 0), nil); err == nil ||
		!strings.Contains(err.Error(), "step 2 after step 3") {
		t.Errorf("a smaller step: got error %v", err)
	}
	w.Close()
	const all = "brain.Event:2; 0 100 [{loss 0}]; 1 101 [{loss 0.5}]; 2 102 [{loss 1}]; 3 103 " +
		"[{loss 1.5}]"
	if got := lines(t, path); got != all {
		t.Fatalf("got  %s\nwant %s", got, all)
	}

	// Resuming at step 2 keeps the earlier records with their times.
	w = open(t, path, 1)
	if err := w.Scalars(2, time.Unix(200, 500e6),
		[]Scalar{{"loss", math.Inf(1)}, {"accuracy", 0.25}}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	want := "brain.Event:2; 0 100 [{loss 0}]; 1 101 [{loss 0.5}]; 2 200.5 [{loss +Inf} {accuracy " +
		"0.25}]"
	if got := lines(t, path); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A file that is written at once is that of the same scalars written one by one, without times, and
// can be continued.
func TestWrite(t *testing.T) {
	var file bytes.Buffer
	events := []Event{{Step: 0, Scalars: []Scalar{{"gd/loss", 0.5}, {"gd/c", 2}}},
		{Step: 7, Scalars: []Scalar{{"gd/loss", 0.25}}}}
	if err := Write(&file, slices.Values(events)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "events.out.tfevents.0")
	if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	write(t, open(t, path, 7), 8, 8)
	want := "brain.Event:2; 0 0 [{gd/loss 0.5} {gd/c 2}]; 7 0 [{gd/loss 0.25}]; 8 108 [{loss 4}]"
	if got := lines(t, path); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// From a file cut at any byte, Open recovers all whole records.
func TestTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.out.tfevents.0")
	w := open(t, path, -1)
	write(t, w, 0, 1)
	w.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const first = 8 + 4 + 24 + 4
	second := first + (len(whole)-first-2)/2 // step 0 takes two bytes less than step 1
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		w := open(t, path, 1)
		write(t, w, 1, 1)
		w.Close()
		want := "brain.Event:2; 1 101 [{loss 0.5}]"
		if n >= second {
			want = "brain.Event:2; 0 100 [{loss 0}]; 1 101 [{loss 0.5}]"
		}
		if got := lines(t, path); got != want {
			t.Errorf("cut to %d bytes: got %s, want %s", n, got, want)
		}
	}

	// A flipped bit and zeros after a power failure are cut off as well.
	for _, damaged := range [][]byte{
		append(bytes.Clone(whole[:second+20]),
			append([]byte{whole[second+20] ^ 4}, whole[second+21:]...)...),
		append(bytes.Clone(whole[:second]), make([]byte, 4096)...),
	} {
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		open(t, path, 1).Close()
		if got, want := lines(t, path), "brain.Event:2; 0 100 [{loss 0}]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A link to nothing is replaced: a write through it would make a file elsewhere.
func TestDanglingLink(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "events.out.tfevents.0"), filepath.Join(dir, "nowhere")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	open(t, path, 0).Close()
	if _, err := os.Lstat(target); err == nil {
		t.Error("the file was made where the link points to")
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("not a file: %v, %v", info, err)
	}
}

func TestForeignFile(t *testing.T) {
	for _, content := range []string{"notes", strings.Repeat("notes", 100),
		string(make([]byte, 100))} {
		path := filepath.Join(t.TempDir(), "events.out.tfevents.0")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, 10)
		want := "tbevents: " + path + ": does not begin like an event file; move it away"
		if err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
		if got, _ := os.ReadFile(path); string(got) != content {
			t.Errorf("the file was changed to %q", got)
		}
	}
	_, err := Open(filepath.Join(t.TempDir(), "missing", "events"), 0)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing folder: got error %v", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	huge := binary.LittleEndian.AppendUint64(nil, 1<<62)
	huge = binary.LittleEndian.AppendUint32(huge, checksum(huge))
	tests := []struct {
		name string
		in   []byte
		want string
	}{
		{"torn length", []byte("12345"), "length: unexpected EOF"},
		{"wrong checksum of the length", make([]byte, 12), fmt.Sprintf("checksum of the length "+
			"is 00000000, want %08x", checksum(make([]byte, 8)))},
		{"huge length", append(huge, "abc"...), "3 bytes, want 4611686018427387908: EOF"},
		{"torn varint", frame([]byte("\x10\xff")), "damaged protocol buffer"},
		{"torn string", frame([]byte("\x1a\x09ab")), "damaged protocol buffer"},
		{"torn summary value", frame([]byte("\x2a\x03\x0a\x01\x15")), "damaged protocol buffer"},
		{"wire type 7", frame([]byte("\x0f")), "damaged protocol buffer"},
	}
	for _, test := range tests {
		_, err := NewReader(bytes.NewReader(test.in)).Next()
		if want := "tbevents: record at byte 0: " + test.want; err == nil || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", test.name, err, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(append(frame(appendEvent(nil, Event{Wall: 1, Version: version})),
		frame(appendEvent(nil, Event{Wall: 2, Step: -3,
			Scalars: []Scalar{{"a", 1}, {"", math.NaN()}}}))...))
	f.Add(frame([]byte("\x2a\x03\x0a\x01\x15")))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in))
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
		if r.Offset() < 0 || r.Offset() > int64(len(in)) {
			t.Errorf("offset %d in a file of %d bytes", r.Offset(), len(in))
		}
	})
}

// The checksums keep FuzzReader out of most of the decoder, so the decoder has a fuzz test of its
// own.
func FuzzEvent(f *testing.F) {
	f.Add(appendEvent(nil, Event{Wall: 2, Step: 3, Scalars: []Scalar{{"a", 1}}}))
	f.Add([]byte("\x1a\x02ab\x62\x01x\x2a\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := parseEvent(in)
		if err != nil {
			return
		}
		again, err := parseEvent(appendEvent(nil, e))
		if err != nil {
			t.Fatal(err)
		}
		bitwise := cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b })
		if diff := cmp.Diff(e, again, bitwise); diff != "" {
			t.Error(diff)
		}
	})
}
