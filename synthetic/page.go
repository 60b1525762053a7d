package main

import (
	"fmt"

	"momentum/internal/durable"
	"momentum/internal/markdown"
	"momentum/internal/page"
)

const introduction = "Full-batch gradient descent (GD) and gradient descent with momentum (GD+M) " +
	"on the distribution D of " +
	"“Towards understanding how momentum improves generalization in deep " +
	"learning”: a cubic convolutional network, samples with a large margin (Z₁) and a few with a " +
	"small one (Z₂)."

// newReport is synthetic.html, without its sections: settings are paragraphs.
func newReport(command, settings string) page.Page {
	return page.Page{Title: "The synthetic world", Text: introduction + "\n\n" + settings,
		Command: command}
}

// print prints a table.
func (s *session) print(t page.Table) {
	fmt.Fprintf(s.stdout, "\n%s", markdown.Align(t.Markdown()))
}

// writeText writes a small file of the -out folder.
func (s *session) writeText(name, text string) error {
	return durable.WriteBytes(s.out(name), []byte(text))
}
