package backend

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// Try calls f, which may build, compile or run graphs, and returns what it panics with as an error.
// The error's text is the place and one line that says what is wrong; formatted with %+v it has the
// whole panic and its stack. No panic passes: an index out of range becomes an error with its stack
// too.
func Try(place string, f func()) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = &panicError{place: place, value: x, stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// panicError is a panic as an error.
type panicError struct {
	place string
	value any
	stack []byte
}

func (e *panicError) Error() string { return e.place + ": " + reason(e.value) }

// Unwrap returns the error that the panic was with, if it was with one.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// Format prints the panic whole and its stack for %+v, else its text.
func (e *panicError) Format(s fmt.State, verb rune) {
	if verb == 'v' && s.Flag('+') {
		fmt.Fprintf(s, "%s: %+v\n\n%s", e.place, e.value, e.stack)
		return
	}
	io.WriteString(s, e.Error())
}

// reason is one line that says what is wrong. GoMLX's errors begin with the names of the functions
// that they came through; the reason is the innermost error.
func reason(value any) string {
	for {
		outer, ok := value.(interface{ Cause() error })
		if !ok || outer.Cause() == nil {
			break
		}
		value = outer.Cause()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(fmt.Sprint(value)), "\n")
	return line
}
