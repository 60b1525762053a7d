package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// argumentSizes compares go-xla's header of PJRT's C API with a plugin.
type argumentSizes struct {
	Header    string   `json:"header"` // version of the API
	Plugin    string   `json:"plugin"`
	Enough    int      `json:"enough"`              // functions whose arguments are large enough
	Different []string `json:"different,omitempty"` // other functions, with both sizes
	Unknown   []string `json:"unknown,omitempty"`   // functions that do not name the size
}

// problem is an error if a size differs.
func (s argumentSizes) problem() error {
	if len(s.Different) == 0 {
		return nil
	}
	return fmt.Errorf("the plugin wants larger arguments: %s", strings.Join(s.Different, "; "))
}

// compareSizes compiles and runs sizes.c. Every function of the API is called with arguments of
// size 0, which it refuses before it looks at anything else, naming the size that it wants.
func compareSizes(ctx context.Context, source, header, plugin string) (s argumentSizes,
	err error) {
	text, err := os.ReadFile(filepath.Join(header, "pjrt_c_api.h"))
	if err != nil {
		return s, err
	}
	var calls strings.Builder
	for _, f := range regexp.MustCompile(`_PJRT_API_STRUCT_FIELD\((PJRT_\w+)\)`).
		FindAllSubmatch(text, -1) {
		name := string(f[1])
		// The functions for errors return none.
		if !strings.HasPrefix(name, "PJRT_Error_") &&
			bytes.Contains(text, []byte("STRUCT_TRAITS("+name+"_Args,")) {
			fmt.Fprintf(&calls, "ASK(%s)\n", name)
		}
	}
	program := filepath.Join(source, "sizes")
	if err := os.WriteFile(filepath.Join(source, "asked.inc"), []byte(calls.String()),
		0o666); err != nil {
		return s, err
	}
	if _, err := output(ctx, "cc", "-I"+header, "-o", program, program+".c", "-ldl"); err != nil {
		return s, err
	}
	out, err := output(ctx, program, plugin)
	if err != nil {
		return s, err
	}
	return parseSizes(string(out)), nil
}

// number is the value of digits.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// parseSizes reads what sizes.c prints.
func parseSizes(text string) (s argumentSizes) {
	first, rest, _ := strings.Cut(text, "\n")
	s.Plugin, s.Header, _ = strings.Cut(first, "\t")
	wanted := regexp.MustCompile(`expected (?:at least )?(\d+)`)
	for line := range strings.Lines(rest) {
		f := strings.SplitN(strings.TrimSpace(line), "\t", 3)
		if len(f) < 3 {
			continue // of a message of several lines
		}
		switch m := wanted.FindStringSubmatch(f[2]); {
		case m == nil:
			s.Unknown = append(s.Unknown, f[0])
		case number(m[1]) > number(f[1]):
			s.Different = append(s.Different, fmt.Sprintf("%s: header %s, plugin %s", f[0], f[1],
				m[1]))
		default:
			s.Enough++
		}
	}
	return s
}
