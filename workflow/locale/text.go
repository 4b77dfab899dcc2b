package locale

import (
	"strings"
	"unicode"

	"github.com/belfryhq/belfry"
)

// MaxTextLength is how many bytes of text [Titlecase] takes.
const MaxTextLength = 64 << 10

// Titlecase makes the first letter of every word a capital and leaves the rest as it is:
// "your McDonald's order" is "Your McDonald's Order". Words are separated by anything but
// letters, marks, digits and apostrophes. It doesn't know languages. The error for a text
// of more than [MaxTextLength] bytes is a *belfry.Error.
func Titlecase(text string) (string, error) {
	if len(text) > MaxTextLength {
		return "", belfry.Beyond("", MaxTextLength, "bytes of text")
	}
	inWord := false
	return strings.Map(func(r rune) rune {
		begins := !inWord
		inWord = unicode.In(r, unicode.L, unicode.M, unicode.N) || inWord && (r == '\'' || r == '’')
		if begins {
			return unicode.ToTitle(r)
		}
		return r
	}, text), nil
}
