package feed

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
)

// maxScanDepth is how deep data may nest that the scanner reads: as deep as data is.
const maxScanDepth = belfry.MaxJSONDepth

// scanner reads JSON without white space, such as encoding/json writes it, from the beginning of b. Once it has failed,
// what it returns means nothing, and encoding/json has to decide: it doesn't know all of JSON, but what it reads it reads
// like encoding/json.
type scanner struct {
	b      []byte
	failed bool
}

// take skips a byte, if it is the next.
func (s *scanner) take(c byte) bool {
	if len(s.b) == 0 || s.b[0] != c {
		return false
	}
	s.b = s.b[1:]
	return true
}

func (s *scanner) expect(c byte) { s.failed = s.failed || !s.take(c) }

func (s *scanner) takeWord(word string) bool {
	if !bytes.HasPrefix(s.b, []byte(word)) {
		return false
	}
	s.b = s.b[len(word):]
	return true
}

// null skips a null, if there is one.
func (s *scanner) null() bool { return s.takeWord("null") }

func (s *scanner) bool() bool {
	if s.takeWord("true") {
		return true
	}
	s.failed = s.failed || !s.takeWord("false")
	return false
}

// object reads an object: field is to read the value of each key, which is valid until then.
func (s *scanner) object(field func(key []byte)) {
	if s.expect('{'); s.failed || s.take('}') {
		return
	}
	for !s.failed {
		key := s.string()
		s.expect(':')
		if s.failed {
			return
		}
		field(key)
		if !s.take(',') {
			s.expect('}')
			return
		}
	}
}

// array reads an array, or null, which is a nil slice.
func array[T any](s *scanner, item func() T) []T {
	if s.null() {
		return nil
	}
	s.expect('[')
	items := []T{}
	if s.failed || s.take(']') {
		return items
	}
	for !s.failed {
		items = append(items, item())
		if !s.take(',') {
			s.expect(']')
			break
		}
	}
	return items
}

func (s *scanner) int() int64 {
	digits := s.number()
	n, err := strconv.ParseInt(string(digits), 10, 64)
	s.failed = s.failed || err != nil
	return n
}

// number returns the next number, if it is one of JSON.
func (s *scanner) number() []byte {
	all := s.b
	s.take('-')
	if !s.take('0') {
		s.digits()
	}
	if s.take('.') {
		s.digits()
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		s.digits()
	}
	return all[:len(all)-len(s.b)]
}

// digits skips at least one.
func (s *scanner) digits() {
	n := 0
	for n < len(s.b) && s.b[n] >= '0' && s.b[n] <= '9' {
		n++
	}
	s.failed = s.failed || n == 0
	s.b = s.b[n:]
}

func (s *scanner) text() string { return string(s.string()) }

// string returns the next string, which may be a part of the input.
func (s *scanner) string() []byte {
	if s.expect('"'); s.failed {
		return nil
	}
	for i := 0; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			text := s.b[:i]
			s.b = s.b[i+1:]
			s.failed = !utf8.Valid(text)
			return text
		case c == '\\':
			return s.unescaped(i)
		case c < ' ':
			s.failed = true
			return nil
		}
	}
	s.failed = true
	return nil
}

// unescaped is string with escapes, the first of them at n.
func (s *scanner) unescaped(n int) []byte {
	text := append(make([]byte, 0, 2*n+64), s.b[:n]...)
	for s.b = s.b[n:]; len(s.b) > 0 && !s.failed; {
		c := s.b[0]
		s.b = s.b[1:]
		switch {
		case c == '"':
			s.failed = !utf8.Valid(text)
			return text
		case c == '\\':
			text = s.escape(text)
		case c < ' ':
			s.failed = true
		default:
			text = append(text, c)
		}
	}
	s.failed = true
	return nil
}

// escape appends what an escape, whose backslash has been read, stands for.
func (s *scanner) escape(text []byte) []byte {
	if len(s.b) == 0 {
		s.failed = true
		return text
	}
	c := s.b[0]
	s.b = s.b[1:]
	switch c {
	case '"', '\\', '/':
		return append(text, c)
	case 'n':
		return append(text, '\n')
	case 't':
		return append(text, '\t')
	case 'r':
		return append(text, '\r')
	case 'b':
		return append(text, '\b')
	case 'f':
		return append(text, '\f')
	case 'u':
		return s.unicode(text)
	}
	s.failed = true
	return text
}

// unicode appends a character by its number. Of those that come in two halves encoding/json knows more.
func (s *scanner) unicode(text []byte) []byte {
	if len(s.b) < 4 {
		s.failed = true
		return text
	}
	r, err := strconv.ParseUint(string(s.b[:4]), 16, 16)
	if s.b = s.b[4:]; err != nil || utf16.IsSurrogate(rune(r)) {
		s.failed = true
		return text
	}
	return utf8.AppendRune(text, rune(r))
}
