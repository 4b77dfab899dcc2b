package template

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type lexeme int

const (
	lexEnd lexeme = iota
	lexName
	lexString
	lexNumber
	lexOperator // == != <> < > <= >=
	lexSymbol   // . .. [ ] ( ) | : , =
)

// lexer reads the arguments of a tag, one token ahead.
type lexer struct {
	src    *source
	text   string
	base   int // offset of text in the source
	kind   lexeme
	value  string // of a string: without its quotes
	start  int    // of the token, in text
	end    int
	closed bool // the closing quote was found
}

func newLexer(src *source, text string, base int) *lexer {
	l := &lexer{src: src, text: text, base: base}
	l.advance()
	return l
}

// fail is an error at the current token.
func (l *lexer) fail(format string, args ...any) *Error {
	return l.src.at(l.base+l.start, format, args...)
}

// unexpected is the error of a token that does not belong where it is.
func (l *lexer) unexpected(wanted string) *Error {
	switch {
	case l.kind == lexEnd:
		return l.fail("syntax error: %s is missing here", wanted)
	case l.kind == lexString && !l.closed:
		return l.fail("syntax error: this string is not closed; add the closing quote")
	}
	return l.fail("syntax error at %q: %s was expected; check quotes, names and operators", clip(l.text[l.start:l.end]), wanted)
}

// is reports whether the current token is a symbol or operator.
func (l *lexer) is(symbol string) bool {
	return (l.kind == lexSymbol || l.kind == lexOperator) && l.value == symbol
}

// accept takes a symbol if it comes next.
func (l *lexer) accept(symbol string) bool {
	if l.is(symbol) {
		l.advance()
		return true
	}
	return false
}

// acceptName takes a certain word if it comes next.
func (l *lexer) acceptName(word string) bool {
	if l.kind == lexName && l.value == word {
		l.advance()
		return true
	}
	return false
}

// peekSymbol reports whether a symbol follows the current token.
func (l *lexer) peekSymbol(symbol string) bool {
	return strings.HasPrefix(strings.TrimLeft(l.text[l.end:], spaces), symbol)
}

func (l *lexer) advance() {
	i := l.end
	for i < len(l.text) && strings.IndexByte(spaces, l.text[i]) >= 0 {
		i++
	}
	l.start = i
	if i == len(l.text) {
		l.kind, l.value, l.end = lexEnd, "", i
		return
	}
	rest := l.text[i:]
	switch c := rest[0]; {
	case c == '"' || c == '\'':
		l.kind = lexString
		end := strings.IndexByte(rest[1:], c)
		if l.closed = end >= 0; !l.closed {
			l.value, l.end = rest[1:], len(l.text)
			return
		}
		l.value, l.end = rest[1:end+1], i+end+2
		return
	case c >= '0' && c <= '9', c == '-' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9':
		l.kind, l.end = lexNumber, i+numberLength(rest)
	case nameLength(rest) > 0:
		l.kind, l.end = lexName, i+nameLength(rest)
	default:
		l.symbol(rest)
		l.end = i + len(l.value)
	}
	l.value = l.text[i:l.end]
}

func (l *lexer) symbol(rest string) {
	for _, operator := range []string{"==", "!=", "<>", "<=", ">=", "<", ">"} {
		if strings.HasPrefix(rest, operator) {
			l.kind, l.value = lexOperator, operator
			return
		}
	}
	l.kind = lexSymbol
	if strings.HasPrefix(rest, "..") {
		l.value = ".."
		return
	}
	_, size := utf8.DecodeRuneInString(rest)
	l.value = rest[:size]
}

func numberLength(s string) int {
	n := 1
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		for n++; n < len(s) && isDigit(s[n]); n++ {
		}
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// nameLength is the length of the name a text starts with: letters, digits, "_", "-" and one "?" at the end.
func nameLength(s string) int {
	n := 0
	for i, r := range s {
		if !(r == '_' || unicode.IsLetter(r) || (i > 0 && (r == '-' || unicode.IsDigit(r) || unicode.IsMark(r)))) {
			break
		}
		n = i + utf8.RuneLen(r)
	}
	if n > 0 && n < len(s) && s[n] == '?' {
		n++
	}
	return n
}

// isName reports whether a text is a name that can be assigned to.
func isName(s string) bool {
	return s != "" && nameLength(s) == len(s) && !strings.HasSuffix(s, "?")
}

// number is the value of a number literal.
func (l *lexer) number() (any, *Error) {
	if strings.Contains(l.value, ".") {
		f, err := strconv.ParseFloat(l.value, 64)
		if err != nil {
			return nil, l.fail("the number %s is out of range; use a smaller one", clip(l.value))
		}
		return f, nil
	}
	n, err := strconv.Atoi(l.value)
	if err != nil {
		return nil, l.fail("the number %s is out of range; use a smaller one", clip(l.value))
	}
	return n, nil
}
