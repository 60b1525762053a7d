package backend

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// Try calls f, which may build, compile or execute graphs, and returns a panic of f as an error.
// The error's text is the place and one line with the reason; formatted with %+v, it is the whole
// panic and its stack. Every panic becomes an error, even an index out of range.
func Try(place string, f func()) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = &panicError{place: place, value: x, stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// DeviceError is the error of a call of a device: an execution or a transfer. A device may fail in
// the middle of a run, such as a GPU that the driver has lost.
type DeviceError struct{ Err error }

func (e *DeviceError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the call.
func (e *DeviceError) Unwrap() error { return e.Err }

// OnDevice calls f, which calls a device. A panic of f becomes one with a [*DeviceError], which
// names the call, so use it inside [Try].
func OnDevice(call string, f func()) {
	if err := Try(call, f); err != nil {
		panic(&DeviceError{err})
	}
}

// panicError is a panic as an error.
type panicError struct {
	place string
	value any
	stack []byte
}

func (e *panicError) Error() string { return e.place + ": " + reason(e.value) }

// Unwrap returns the panic's value if that is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// Format prints the whole panic and its stack for %+v, and the error's text otherwise.
func (e *panicError) Format(s fmt.State, verb rune) {
	if verb == 'v' && s.Flag('+') {
		fmt.Fprintf(s, "%s: %+v\n\n%s", e.place, e.value, e.stack)
		return
	}
	io.WriteString(s, e.Error())
}

// reason is one line that says what is wrong: the innermost error, as GoMLX's errors begin with the
// names of the functions through which they passed.
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
