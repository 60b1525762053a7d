// Package safetensors writes and reads float32 tensors in the safetensors format, so that PyTorch,
// JAX or NumPy can load the weights of a run by name, and the other way round.
//
// A file is
//
//	8 bytes   length H of the header, unsigned, little endian
//	H bytes   JSON: {"name": {"dtype": "F32", "shape": [3, 3], "data_offsets": [0, 36]}, ...,
//	          "__metadata__": {"key": "text", ...}}
//	the rest  the tensors' bytes, little endian, row-major, without gaps;
//	          offsets count from here
//
// Only the type F32 is supported. The format is described at
// https://huggingface.co/docs/safetensors.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	metadataKey = "__metadata__"
	elementSize = 4           // bytes of an F32
	maxHeader   = 100_000_000 // bytes; the format's own limit
)

// Tensor is a named array of float32.
type Tensor struct {
	Name  string
	Shape []int     // empty for a scalar
	Data  []float32 // row-major; its length is the product of Shape
}

// entry is the header's entry for one tensor.
type entry struct {
	name    string
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets []uint64 `json:"data_offsets"` // begin and end, in bytes
}

// Write writes the tensors and the metadata, which may be nil, to w. Tensors are stored in the
// order of their names, whatever their order in the argument, so the same tensors give the same
// bytes. A name that is used twice, is not UTF-8 or is "__metadata__" is an error, and so is a
// tensor whose Data and Shape do not agree.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })

	header := make(map[string]any, len(tensors)+1) // encoding/json sorts the keys
	offset := uint64(0)
	for _, t := range tensors {
		if err := t.check(); err != nil {
			return fmt.Errorf("safetensors: %w", err)
		}
		if _, ok := header[t.Name]; ok {
			return fmt.Errorf("safetensors: two tensors are named %q, want different names", t.Name)
		}
		end := offset + uint64(len(t.Data))*elementSize
		shape := append([]int{}, t.Shape...) // for a scalar [], not null
		header[t.Name] = entry{DType: "F32", Shape: shape, Offsets: []uint64{offset, end}}
		offset = end
	}
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("safetensors: header: %w", err)
	}
	// Spaces after the object align the data to 8 bytes, so that readers can map it into memory.
	text = append(text, strings.Repeat(" ", -len(text)&7)...)
	if len(text) > maxHeader {
		return fmt.Errorf("safetensors: header of %d bytes, want at most %d", len(text), maxHeader)
	}

	head := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	if _, err := w.Write(append(head, text...)); err != nil {
		return fmt.Errorf("safetensors: header: %w", err)
	}
	for _, t := range tensors {
		if err := binary.Write(w, binary.LittleEndian, t.Data); err != nil {
			return fmt.Errorf("safetensors: tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// check returns an error if the format cannot express the tensor.
func (t Tensor) check() error {
	if t.Name == metadataKey {
		return fmt.Errorf("a tensor is named %q, which the format keeps for the metadata",
			metadataKey)
	}
	if !utf8.ValidString(t.Name) {
		return fmt.Errorf("tensor name %q is not UTF-8", t.Name)
	}
	want, err := elements(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if uint64(len(t.Data)) != want {
		return fmt.Errorf("tensor %q: %d values, want %d for shape %v", t.Name, len(t.Data), want,
			t.Shape)
	}
	return nil
}

// elements returns the product of the shape: 1 for a scalar.
func elements(shape []int) (uint64, error) {
	n := uint64(1)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if d < 0 || hi != 0 {
			return 0, fmt.Errorf("impossible shape %v", shape)
		}
		n = lo
	}
	return n, nil
}

// Read reads a whole file of size bytes and returns its tensors in the order of their names, and
// its metadata: nil if it has none. Read trusts nothing: names must be unique, every tensor must be
// F32, and the tensors must cover the data exactly, without gaps or overlaps. It allocates at most
// a small multiple of size.
func Read(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	tensors, metadata, err := read(r, size)
	if err != nil {
		return nil, nil, fmt.Errorf("safetensors: %w", err)
	}
	return tensors, metadata, nil
}

// ReadFile is [Read] of a file on disk, without the metadata. Errors name the file.
func ReadFile(path string) ([]Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tensors, _, err := Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, nil
}

func read(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	if size < 8 {
		return nil, nil, fmt.Errorf("%d bytes, want at least 8 (the header's length)", size)
	}
	file := io.NewSectionReader(r, 0, size)
	var length uint64
	if err := binary.Read(file, binary.LittleEndian, &length); err != nil {
		return nil, nil, fmt.Errorf("header's length: %w", err)
	}
	if limit := min(size-8, maxHeader); length > uint64(limit) {
		return nil, nil, fmt.Errorf("header of %d bytes, want at most %d in a file of %d", length,
			limit, size)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(file, text); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	entries, metadata, err := parseHeader(text)
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}

	// In the order of their offsets, each tensor must begin where the one before it ends. All
	// offsets are checked before memory is allocated for the data.
	slices.SortFunc(entries, func(a, b entry) int { return slices.Compare(a.Offsets, b.Offsets) })
	end, dataSize := uint64(0), uint64(size)-8-length
	for _, e := range entries {
		if err := e.check(); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		if e.Offsets[0] != end || e.Offsets[1] > dataSize {
			return nil, nil, fmt.Errorf("tensor %q: data_offsets %v, want a begin of %d and an "+
				"end of at most %d", e.name, e.Offsets, end, dataSize)
		}
		end = e.Offsets[1]
	}
	if end != dataSize {
		return nil, nil, fmt.Errorf("%d bytes of data, want %d as the header says", dataSize, end)
	}

	tensors := make([]Tensor, len(entries))
	for i, e := range entries {
		data := make([]float32, (e.Offsets[1]-e.Offsets[0])/elementSize)
		if err := binary.Read(file, binary.LittleEndian, data); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		tensors[i] = Tensor{Name: e.name, Shape: e.Shape, Data: data}
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return tensors, metadata, nil
}

// check returns an error if the entry is not F32 or its bytes do not match its shape.
func (e entry) check() error {
	if e.DType != "F32" {
		return fmt.Errorf("dtype %q, want \"F32\"", e.DType)
	}
	if e.Shape == nil {
		return errors.New("no shape")
	}
	if len(e.Offsets) != 2 || e.Offsets[0] > e.Offsets[1] {
		return fmt.Errorf("data_offsets %v, want [begin, end]", e.Offsets)
	}
	n, err := elements(e.Shape)
	if err != nil {
		return err
	}
	if size := e.Offsets[1] - e.Offsets[0]; size%elementSize != 0 || size/elementSize != n {
		return fmt.Errorf("%d bytes, want %d values of %d bytes for shape %v", size, n, elementSize,
			e.Shape)
	}
	return nil
}

// parseHeader decodes the object key by key, because decoding into a map would silently keep the
// last of two tensors with the same name.
func parseHeader(text []byte) (entries []entry, metadata map[string]string, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		name := t.(string) // the decoder accepts no other keys
		if seen[name] {
			return nil, nil, fmt.Errorf("%q appears twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			if err := d.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		e := entry{name: name}
		if err := d.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, fmt.Errorf("the JSON object does not end: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, errors.New("text after the JSON object")
	}
	return entries, metadata, nil
}
