package condition

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// The package comment is what authors learn the language from.
func TestTheDocumentationIsComplete(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.FieldsFunc(string(doc), func(r rune) bool { return !unicode.IsLetter(r) && r != '_' && r != '$' && r != '.' })
	for i := range words {
		words[i] = strings.TrimRight(words[i], ".")
	}
	wanted := slices.Concat(Operators(), predicates, rootNames, []string{eventRoot, containsFunction})
	for name := range functions {
		wanted = append(wanted, name)
	}
	for _, k := range statusKinds {
		wanted = append(wanted, k.field)
		for _, token := range k.tokens {
			wanted = append(wanted, tokenPrefix+token)
		}
	}
	for _, word := range wanted {
		if !slices.Contains(words, word) && !slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, "."+word) }) {
			t.Errorf("doc.go doesn't mention %s", word)
		}
	}
}
