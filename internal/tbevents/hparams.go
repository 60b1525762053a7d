package tbevents

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// WriteHParams writes an event file whose one record holds the settings of a run, for the tab
// HPARAMS of TensorBoard: numbers, texts and truth values by name. It is
//
//	message Summary {
//	  message Value { string tag = 1; SummaryMetadata metadata = 9; }
//	}
//	message SummaryMetadata {
//	  message PluginData { string plugin_name = 1; bytes content = 2; }
//	  PluginData plugin_data = 1;
//	}
//	message HParamsPluginData { SessionStartInfo session_start_info = 3; }   // the content
//	message SessionStartInfo { map<string, google.protobuf.Value> hparams = 1; }
//
// The record has no time, so equal settings give equal bytes.
func WriteHParams(w io.Writer, settings map[string]any) error {
	var start []byte
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value, err := appendSetting(nil, settings[name])
		if err != nil {
			return fmt.Errorf("tbevents: %s: %w", name, err)
		}
		start = appendBytes(start, 1, appendBytes(appendBytes(nil, 1, name), 2, value))
	}
	plugin := appendBytes(appendBytes(nil, 1, "hparams"), 2, appendBytes(nil, 3, start))
	value := appendBytes(nil, 1, "_hparams_/session_start_info")
	value = appendBytes(value, 9, appendBytes(nil, 1, plugin))
	event := appendBytes(appendEvent(nil, Event{}), 5, appendBytes(nil, 1, value))
	_, err := w.Write(append(frame(appendEvent(nil, Event{Version: version})), frame(event)...))
	return err
}

// appendSetting appends
//
//	message Value { double number_value = 2; string string_value = 3; bool bool_value = 4; }
func appendSetting(b []byte, x any) ([]byte, error) {
	switch x := x.(type) {
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, 2<<3|wireFixed64),
			math.Float64bits(x)), nil
	case string:
		return appendBytes(b, 3, x), nil
	case bool:
		truth := map[bool]byte{true: 1}[x]
		return append(b, 4<<3|wireVarint, truth), nil
	}
	return nil, fmt.Errorf("a value of type %T, want a number, a text or a truth value", x)
}
