package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/runtest"
)

// file returns a file with a header and data.
func file(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestWriteBytes(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, []Tensor{
		{Name: "b", Shape: []int{2}, Data: []float32{1, -2}}, // 0x3f800000, 0xc0000000
		{Name: "a", Data: []float32{0.5}},                    // 0x3f000000, a scalar
	}, map[string]string{"layout": "HWIO"})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"layout":"HWIO"},` +
		`"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},` +
		`"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`
	if pad := -len(header) & 7; pad != 0 {
		header += strings.Repeat(" ", pad)
	}
	want := file(header, "\x00\x00\x00\x3f"+"\x00\x00\x80\x3f"+"\x00\x00\x00\xc0")
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got\n%q, want\n%q", b.Bytes(), want)
	}
	if start := b.Len() - 12; start%8 != 0 {
		t.Errorf("the data starts at byte %d, want a multiple of 8", start)
	}
}

func TestRoundTrip(t *testing.T) {
	want := []Tensor{
		{Name: "empty", Shape: []int{0, 3}, Data: []float32{}},
		{Name: "head/weights", Shape: []int{2, 3}, Data: []float32{0, 1, 2, 3, 4, 5}},
		{Name: "odd <&> \" ü", Shape: []int{1}, Data: []float32{float32(math.Inf(-1))}},
		{Name: "scalar", Shape: []int{}, Data: []float32{math.SmallestNonzeroFloat32}},
	}
	metadata := map[string]string{"η": "0.02", "": "empty key"}
	var b bytes.Buffer
	if err := Write(&b, want, metadata); err != nil {
		t.Fatal(err)
	}
	got, gotMetadata, err := Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(metadata, gotMetadata); diff != "" {
		t.Error(diff)
	}
}

func TestWriteRefuses(t *testing.T) {
	tests := []struct {
		tensors []Tensor
		want    string
	}{
		{[]Tensor{{Name: "w", Shape: []int{2, 2}, Data: make([]float32, 3)}},
			`safetensors: tensor "w": 3 values, want 4 for shape [2 2]`},
		{[]Tensor{{Name: "w", Shape: []int{-1}}}, `safetensors: tensor "w": impossible shape [-1]`},
		{[]Tensor{{Name: "w", Shape: []int{1 << 40, 1 << 40}}},
			`safetensors: tensor "w": impossible shape [1099511627776 1099511627776]`},
		{[]Tensor{{Name: "w", Data: []float32{1}}, {Name: "w", Data: []float32{2}}},
			`safetensors: two tensors are named "w", want different names`},
		{[]Tensor{{Name: "\xff", Data: []float32{1}}},
			`safetensors: tensor name "\xff" is not UTF-8`},
		{[]Tensor{{Name: "__metadata__", Data: []float32{1}}},
			`safetensors: a tensor is named "__metadata__", which the format keeps for the ` +
				"metadata"},
	}
	for _, test := range tests {
		var b bytes.Buffer
		if err := Write(&b, test.tensors, nil); err == nil || err.Error() != test.want {
			t.Errorf("got error %v, want %s", err, test.want)
		}
		if b.Len() != 0 {
			t.Errorf("%s: %d bytes were written before the error", test.want, b.Len())
		}
	}
}

func TestReadRefuses(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "0 bytes, want at least 8 (the header's length)"},
		{"huge header", []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"),
			"header of 18446744073709551615 bytes, want at most 2 in a file of 10"},
		{"header past the end", file(`{`+a+`}`, "")[:20],
			"header of 54 bytes, want at most 12 in a file of 20"},
		{"no JSON", file("hello", ""), "header: not a JSON object"},
		{"no object", file("[]", ""), "header: not a JSON object"},
		{"cut JSON", file(`{`+a, "1234"), "header: the JSON object does not end: EOF"},
		{"more text", file(`{`+a+`} x`, "1234"), "header: text after the JSON object"},
		{"twice", file(`{`+a+`,`+a+`}`, "1234"), `header: "a" appears twice`},
		{"metadata", file(`{"__metadata__":{"a":1}}`, ""),
			"header: __metadata__: json: cannot unmarshal number into Go value of type string"},
		{"dtype", file(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, "1234"),
			`tensor "a": dtype "F16", want "F32"`},
		{"no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, "1234"),
			`tensor "a": no shape`},
		{"negative", file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, "1234"),
			`tensor "a": impossible shape [-1]`},
		{"overflow",
			file(`{"a":{"dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4]}}`,
				"1234"), `tensor "a": impossible shape [4294967296 4294967297]`},
		{"shape", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234"),
			`tensor "a": 4 bytes, want 2 values of 4 bytes for shape [2]`},
		{"half a value", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,6]}}`, "123456"),
			`tensor "a": 6 bytes, want 1 values of 4 bytes for shape [1]`},
		{"offsets", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}}`, "1234"),
			`tensor "a": data_offsets [4], want [begin, end]`},
		{"backwards", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, "1234"),
			`tensor "a": data_offsets [4 0], want [begin, end]`},
		{"overlap", file(`{`+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"),
			`tensor "b": data_offsets [0 4], want a begin of 4 and an end of at most 4`},
		{"gap", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, "12345678"),
			`tensor "a": data_offsets [4 8], want a begin of 0 and an end of at most 8`},
		{"cut data", file(`{`+a+`}`, "12"),
			`tensor "a": data_offsets [0 4], want a begin of 0 and an end of at most 2`},
		{"more data", file(`{`+a+`}`, "123456"), "6 bytes of data, want 4 as the header says"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Read(bytes.NewReader(test.file), int64(len(test.file)))
			if want := "safetensors: " + test.want; err == nil || err.Error() != want {
				t.Errorf("got error %v, want %s", err, want)
			}
		})
	}
}

// From the tensors that Read returns, Write makes a file with the same content.
func FuzzRead(f *testing.F) {
	const a = `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},`
	f.Add(file(a+`"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}`, "1234"))
	f.Add(file(`{"__metadata__":{"k":"v"}}   `, ""))
	f.Add(file(a+`"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, "123456"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		tensors, metadata, err := Read(bytes.NewReader(in), int64(len(in)))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := Write(&b, tensors, metadata); err != nil {
			t.Fatal(err)
		}
		again, _, err := Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		bitwise := cmp.Comparer(func(a, b float32) bool {
			return math.Float32bits(a) == math.Float32bits(b)
		})
		if diff := cmp.Diff(tensors, again, bitwise); diff != "" {
			t.Error(diff)
		}
	})
}

// The Python package safetensors reads files of Write, and Read reads files of the package.
func TestPython(t *testing.T) {
	python := runtest.Python(t, "numpy and safetensors", "import numpy, safetensors")
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours.safetensors"), filepath.Join(dir, "theirs.safetensors")
	var b bytes.Buffer
	err := Write(&b, []Tensor{
		{Name: "w", Shape: []int{2, 3}, Data: []float32{0, 1, 2, 3, 4, 5}},
		{Name: "empty", Shape: []int{0, 3}},
		{Name: "s", Data: []float32{-0.25}},
	}, map[string]string{"layout": "HWIO"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ours, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	// The script also writes a file, with w transposed and doubled.
	const script = `
import sys, numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1], framework="np") as f:
    assert f.metadata() == {"layout": "HWIO"}, f.metadata()
    got = {k: f.get_tensor(k) for k in f.keys()}
assert set(got) == {"w", "empty", "s"}, got
assert all(v.dtype == np.float32 for v in got.values()), got
assert np.array_equal(got["w"], np.arange(6).reshape(2, 3)), got
assert got["empty"].shape == (0, 3) and got["s"].shape == () and got["s"] == -0.25, got
w = np.ascontiguousarray(2 * got["w"].T)
save_file({"w": w, "s": got["s"]}, sys.argv[2], metadata={"by": "python"})
`
	if out, err := exec.Command(python, "-c", script, ours, theirs).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	got, metadata, err := Read(bytes.NewReader(in), int64(len(in)))
	if err != nil {
		t.Fatal(err)
	}
	want := []Tensor{
		{Name: "s", Shape: []int{}, Data: []float32{-0.25}},
		{Name: "w", Shape: []int{3, 2}, Data: []float32{0, 6, 2, 8, 4, 10}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"by": "python"}, metadata); diff != "" {
		t.Error(diff)
	}
}
