package cli

import "strings"

// Strings is a flag whose value is a list of any words with commas between them, for
// [flag.FlagSet.Func].
func Strings(list *[]string) func(string) error {
	return func(value string) error {
		*list = strings.Split(value, ",")
		return nil
	}
}
