package backendtest

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"momentum/internal/backend"
)

// Lost is a device that disappears: after a number of calls of its client, executions and transfers
// between it and the host, all of them fail. Like a GPU it shares no memory with the host.
type Lost struct {
	compute.Backend
	left atomic.Int64 // calls
}

// Losing prepares a device of a backend to disappear: see [Lost.After].
func Losing(b *backend.Backend, device int) *Lost {
	l := &Lost{Backend: b.Devices[device].Client}
	l.After(math.MaxInt64)
	b.Devices[device].Client = l
	return l
}

// After makes the device disappear after some calls more.
func (l *Lost) After(calls int64) { l.left.Store(calls) }

// Left is the number of calls until then.
func (l *Lost) Left() int64 { return l.left.Load() }

// call counts a call, and returns its error.
func (l *Lost) call(what string) error {
	if l.left.Add(-1) < 0 {
		return fmt.Errorf("UNAVAILABLE: %s: no such device", what)
	}
	return nil
}

// HasSharedBuffers implements [compute.Backend].
func (l *Lost) HasSharedBuffers() bool { return false }

// BufferFromFlatData implements [compute.Backend].
func (l *Lost) BufferFromFlatData(device compute.DeviceNum, flat any, shape shapes.Shape) (
	compute.Buffer, error) {
	if err := l.call("copy to device"); err != nil {
		return nil, err
	}
	b, err := l.Backend.BufferFromFlatData(device, flat, shape)
	return buffer{b, l}, err
}

// Builder implements [compute.Backend].
func (l *Lost) Builder(name string) compute.Builder { return builder{l.Backend.Builder(name), l} }

// builder builds graphs that the lost device executes.
type builder struct {
	compute.Builder
	client *Lost
}

func (b builder) Compile() (compute.Executable, error) {
	e, err := b.Builder.Compile()
	return executable{e, b.client}, err
}

// executable is a graph that the lost device executes.
type executable struct {
	compute.Executable
	client *Lost
}

func (e executable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) (
	outputs []compute.Buffer, err error) {
	if err := e.client.call("execute"); err != nil {
		return nil, err
	}
	own := make([]compute.Buffer, len(inputs))
	for i, x := range inputs {
		own[i] = x.(buffer).Buffer
	}
	outputs, err = e.Executable.Execute(own, donate, device)
	for i, x := range outputs {
		outputs[i] = buffer{x, e.client}
	}
	return outputs, err
}

// buffer is memory of the lost device.
type buffer struct {
	compute.Buffer
	client *Lost
}

func (b buffer) Backend() compute.Backend { return b.client }

func (b buffer) ToFlatData(flat any) error {
	if err := b.client.call("copy to host"); err != nil {
		return err
	}
	return b.Buffer.ToFlatData(flat)
}
