package template

import (
	"context"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"
)

// The bodies of a trigger's messages are often the same but for a name. Their skeleton, which is the Markdown with a
// marker in place of each name, is parsed and sanitised once; a message fills its values into the HTML. That gives what
// [Markdown] would only because both sides are kept dull: values are words, and a marker stands where a word can't mean
// anything. Everything else stays in the skeleton as it is, and whatever remains doubtful is left to Markdown.

const (
	// cachedSkeletons is how many are remembered, with their HTML: at most 9 MB.
	cachedSkeletons = 512
	// maxSkeleton is the longest Markdown that is looked up, and maxPieces the longest HTML that is kept, in bytes.
	maxSkeleton = 4 << 10
	maxPieces   = 12 << 10
	// maxMarkers is the number of values that are told apart; maxInert how long they may be, in bytes.
	maxMarkers = 64
	maxInert   = 128
	// maxBracketSpan is how far apart brackets may be. The parser gives up on links when "![" and "[" take more than 998
	// bytes with what is between, and a marker may be two bytes longer than its value.
	maxBracketSpan = 996 - 2*maxMarkers
)

// What is filled in can't get longer than MaxMarkup, or this doesn't compile.
const _ = uint(MaxMarkup - maxPieces - maxMarkers*maxInert)

// Markers are numbered runes for private use, so that one that got lost or moved is noticed. For the parser they are
// what letters and digits are: neither space nor punctuation. They all start with the same two bytes.
const (
	firstMarker = '\uE000'
	markerStart = "\xEE\x80"
)

// span is where in the output a value was printed.
type span struct{ start, end int }

// skeletons has the HTML around the markers of a skeleton, or nothing if it must not be filled in.
var skeletons = sync.OnceValue(func() *lru.Cache[string, []string] {
	cache, err := lru.New[string, []string](cachedSkeletons)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return cache
})

// RenderMarkdown renders a template of Markdown: source is what [Template.Render] gives, and html what [Markdown] makes
// of that, only cheaper when messages differ in few words. An error is always an *[Error]; source is there if just the
// Markdown was refused.
func (t *Template) RenderMarkdown(ctx context.Context, scope map[string]any) (source, html string, err error) {
	source, printed, err := t.render(ctx, scope, true)
	if err != nil {
		return "", "", err
	}
	html, err = fillMarkdown(source, printed)
	return source, html, err
}

// fillMarkdown is Markdown for a source that has printed values.
func fillMarkdown(source string, printed []span) (string, error) {
	if len(source) > maxSkeleton || strings.Contains(source, markerStart) {
		return Markdown(source)
	}
	skeleton, values := skeletonOf(source, printed)
	pieces, known := skeletons().Get(skeleton)
	if !known {
		pieces = piecesOf(skeleton, len(values))
		skeletons().Add(skeleton, pieces)
	}
	switch len(pieces) {
	case 0:
		return Markdown(source)
	case 1:
		return pieces[0], nil
	}
	size := 0
	for i, value := range values {
		size += len(pieces[i]) + len(value)
	}
	var b strings.Builder
	b.Grow(size + len(pieces[len(values)]))
	for i, value := range values {
		b.WriteString(pieces[i])
		b.WriteString(value)
	}
	b.WriteString(pieces[len(values)])
	return b.String(), nil
}

// piecesOf renders a skeleton, and cuts it. It gives nothing if that can't be filled in.
func piecesOf(skeleton string, markers int) []string {
	html, err := Markdown(skeleton)
	if err != nil || len(html) > maxPieces {
		return nil
	}
	return cut(html, markers)
}

// cut cuts HTML at its markers. It gives nothing unless each of them has become text, once and in order: in a link's
// address, an image's description or the like a value would be written differently, or not at all.
func cut(html string, markers int) []string {
	if strings.Count(html, markerStart) != markers {
		return nil
	}
	pieces := make([]string, 0, markers+1)
	for i := range rune(markers) {
		before, after, found := strings.Cut(html, string(firstMarker+i))
		if !found || strings.LastIndexByte(before, '<') > strings.LastIndexByte(before, '>') { // lost, or within a tag
			return nil
		}
		pieces, html = append(pieces, before), after
	}
	return append(pieces, html)
}

// skeletonOf puts markers in place of the values that are inert where they are, and returns those values.
func skeletonOf(source string, printed []span) (string, []string) {
	if len(printed) == 0 || strings.IndexByte(source, '<') >= 0 || // a tag may go on behind spaces
		strings.Contains(source, "]:") || // what is in brackets may be the name of a link
		strings.LastIndexByte(source, '[')-strings.IndexByte(source, '[') > maxBracketSpan {
		return source, nil
	}
	skeleton := make([]byte, 0, len(source)+2*len(printed))
	values := make([]string, 0, len(printed))
	lettered := false                               // the line has got more than spaces, marks and digits: no list starts here
	var word struct{ source, skeleton, values int } // where the word started
	endWord := func(at int) {
		if len(values) > word.values && !dull(skeleton[word.skeleton:]) {
			skeleton, values = append(skeleton[:word.skeleton], source[word.source:at]...), values[:word.values]
		}
	}
	for at := 0; at < len(source); {
		if len(printed) > 0 && at == printed[0].start {
			value := source[at:printed[0].end]
			printed = printed[1:]
			if inert(value) && (lettered || value[0] > '9') {
				skeleton = utf8.AppendRune(skeleton, firstMarker+rune(len(values)))
				values = append(values, value)
				lettered = true
				at += len(value)
				continue
			}
		}
		switch c := source[at]; c {
		case ' ', '\t', '\r', '\n':
			endWord(at)
			skeleton = append(skeleton, c)
			word.source, word.skeleton, word.values = at+1, len(skeleton), len(values)
			lettered = lettered && c != '\n'
		default:
			skeleton = append(skeleton, c)
			lettered = lettered || c >= utf8.RuneSelf || 'a' <= c|0x20 && c|0x20 <= 'z'
		}
		at++
	}
	endWord(len(source))
	return string(skeleton), values
}

// dull reports whether a word is just text, whatever letters and digits its markers stand for: nothing in it is part of
// a link, an entity, code, HTML, a table or a bracket. Points are for its end: www.e.com is a link.
func dull(word []byte) bool {
	ended := false
	for _, c := range word {
		switch {
		case c >= utf8.RuneSelf || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z':
			if ended {
				return false
			}
		case c == '.':
			ended = true
		case strings.IndexByte(`,!?;:()*_~-'"%$#+`, c) < 0:
			return false
		}
	}
	return true
}

// inert reports whether a value is words of letters and digits, with a space between them.
func inert(value string) bool {
	if len(value) > maxInert {
		return false
	}
	between := true
	for _, r := range value {
		switch {
		case r == ' ' && !between:
			between = true
		case '0' <= r && r <= '9' || unicode.IsLetter(r):
			between = false
		default:
			return false
		}
	}
	return !between
}
