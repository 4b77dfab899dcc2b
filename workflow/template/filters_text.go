package template

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/osteele/liquid/values"
)

var textFilters = map[string]filter{
	"upcase":         ofText(strings.ToUpper),
	"downcase":       ofText(strings.ToLower),
	"capitalize":     ofText(capitalize),
	"strip":          ofText(func(t string) string { return strings.Trim(t, spaces) }),
	"lstrip":         ofText(func(t string) string { return strings.TrimLeft(t, spaces) }),
	"rstrip":         ofText(func(t string) string { return strings.TrimRight(t, spaces) }),
	"strip_newlines": ofText(strings.NewReplacer("\r\n", "", "\n", "").Replace),
	"strip_html":     ofText(stripHTML),
	"handleize":      ofText(handleize),
	"handle":         ofText(handleize),
	"url_encode":     ofText(func(t string) string { return strings.ReplaceAll(url.QueryEscape(t), "%2A", "*") }),
	"url_decode":     {apply: urlDecode},
	"escape":         {apply: escape},
	"h":              {apply: escape},
	"escape_once":    {apply: escapeOnce},
	"newline_to_br":  {apply: newlineToBR},
	"safe":           {shallow: true, apply: safe},
	"append":         {1, 1, nil, false, func(_ *state, in any, args []any) (any, error) { return bounded(in) + bounded(args[0]), nil }},
	"prepend":        {1, 1, nil, false, func(_ *state, in any, args []any) (any, error) { return bounded(args[0]) + bounded(in), nil }},
	"remove":         {1, 1, nil, false, replacing(-1)},
	"remove_first":   {1, 1, nil, false, replacing(1)},
	"remove_last":    {1, 1, nil, false, replaceLast},
	"replace":        {1, 2, nil, false, replacing(-1)},
	"replace_first":  {1, 2, nil, false, replacing(1)},
	"replace_last":   {2, 2, nil, false, replaceLast},
	"truncate":       {0, 2, nil, false, truncate},
	"truncatewords":  {0, 2, nil, false, truncateWords},
	"slice":          {1, 2, nil, false, slice},
	"split":          {1, 1, nil, false, split},
}

// ofText is a filter that makes a text of a text; nothing stays nothing.
func ofText(f func(string) string) filter {
	return filter{apply: func(_ *state, in any, _ []any) (any, error) { return f(bounded(in)), nil }}
}

// markup marks a text as HTML, which is printed as it is.
func (s *state) markup(text string) any {
	if len(text) > MaxValue {
		panic(tooLong)
	}
	if s.format == HTML {
		return values.SafeValue{Value: text}
	}
	return text
}

func safe(s *state, in any, _ []any) (any, error) {
	if _, already := in.(values.SafeValue); already || s.format != HTML {
		return in, nil
	}
	return values.SafeValue{Value: in}, nil
}

func escape(s *state, in any, _ []any) (any, error) {
	if in == nil {
		return nil, nil
	}
	return s.markup(escapeHTML(bounded(in))), nil
}

var entity = regexp.MustCompile(`["><']|&(?:[a-zA-Z]+;|#\d+;)?`)

func escapeOnce(s *state, in any, _ []any) (any, error) {
	return s.markup(entity.ReplaceAllStringFunc(bounded(in), func(found string) string {
		if len(found) > 1 {
			return found
		}
		return escapeHTML(found)
	})), nil
}

// newlineToBR makes HTML of a text. Where HTML is printed, what was in the text is escaped, unless it was before.
func newlineToBR(s *state, in any, _ []any) (any, error) {
	t := bounded(in)
	if _, escaped := in.(values.SafeValue); s.format == HTML && !escaped {
		t = escapeHTML(t)
	}
	return s.markup(strings.ReplaceAll(strings.ReplaceAll(t, "\r\n", "\n"), "\n", "<br />\n")), nil
}

func capitalize(t string) string {
	r, size := utf8.DecodeRuneInString(t)
	if size == 0 {
		return t
	}
	return string(unicode.ToUpper(r)) + strings.ToLower(t[size:])
}

var (
	htmlBlocks = regexp.MustCompile(`(?s)<script.*?</script>|<!--.*?-->|<style.*?</style>`)
	htmlTags   = regexp.MustCompile(`(?s)<.*?>`)
)

// stripHTML makes text readable. It is no sanitiser.
func stripHTML(t string) string {
	return htmlTags.ReplaceAllString(htmlBlocks.ReplaceAllString(t, ""), "")
}

var notInHandle = regexp.MustCompile(`[^a-z0-9]+`)

func handleize(t string) string {
	return strings.Trim(notInHandle.ReplaceAllString(strings.ToLower(t), "-"), "-")
}

var percent = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

func urlDecode(_ *state, in any, _ []any) (any, error) {
	if in == nil {
		return nil, nil
	}
	t := percent.ReplaceAllStringFunc(strings.ReplaceAll(bounded(in), "+", " "), func(code string) string {
		decoded, _ := url.PathUnescape(code)
		return decoded
	})
	if !utf8.ValidString(t) {
		return nil, limitError("url_decode makes a text that is not valid UTF-8; check the data")
	}
	return t, nil
}

// replacing replaces the first n times, or always if n is -1. The product is known before it is allocated.
func replacing(n int) apply {
	return func(_ *state, in any, args []any) (any, error) {
		t, old, replacement := bounded(in), bounded(args[0]), bounded(optional(args, 1, ""))
		times := strings.Count(t, old)
		if n >= 0 {
			times = min(times, n)
		}
		if len(t)+times*len(replacement) > MaxValue {
			return nil, tooLong
		}
		return strings.Replace(t, old, replacement, n), nil
	}
}

func replaceLast(_ *state, in any, args []any) (any, error) {
	t, old := bounded(in), bounded(args[0])
	i := strings.LastIndex(t, old)
	if i < 0 {
		return t, nil
	}
	return t[:i] + bounded(optional(args, 1, "")) + t[i+len(old):], nil
}

func truncate(_ *state, in any, args []any) (any, error) {
	if in == nil {
		return nil, nil
	}
	t, end := bounded(in), bounded(optional(args, 1, "..."))
	length, err := wholeArgument("the length", optional(args, 0, 50))
	if err != nil {
		return nil, err
	}
	runes := []rune(t)
	if len(runes) <= length {
		return t, nil
	}
	kept := min(max(max(length, 0)-utf8.RuneCountInString(end), 0), len(runes))
	return string(runes[:kept]) + end, nil
}

func truncateWords(_ *state, in any, args []any) (any, error) {
	if in == nil {
		return nil, nil
	}
	t, end := bounded(in), bounded(optional(args, 1, "..."))
	n, err := wholeArgument("the number of words", optional(args, 0, 15))
	if err != nil {
		return nil, err
	}
	n = max(n, 1)
	found := strings.FieldsFunc(t, func(r rune) bool { return strings.ContainsRune(spaces, r) })
	if len(found) <= n {
		return t, nil
	}
	return strings.Join(found[:n], " ") + end, nil
}

func slice(_ *state, in any, args []any) (any, error) {
	from, err := wholeArgument("the start", args[0])
	if err != nil {
		return nil, err
	}
	length, err := wholeArgument("the length", optional(args, 1, 1))
	if err != nil {
		return nil, err
	}
	list, isList := in.([]any)
	var runes []rune
	count := len(list)
	if !isList {
		runes = []rune(bounded(in))
		count = len(runes)
	}
	if from < 0 {
		from += count
	}
	outside := from < 0 || from > count || length < 0
	if outside {
		from, length = 0, 0
	}
	to := from + min(length, count-from)
	if isList {
		return list[from:to:to], nil
	}
	return string(runes[from:to]), nil
}

func split(_ *state, in any, args []any) (any, error) {
	t, separator := bounded(in), bounded(args[0])
	var parts []string
	switch {
	case t == "":
	case separator == " ":
		parts = strings.FieldsFunc(t, func(r rune) bool { return strings.ContainsRune(spaces, r) })
	default:
		parts = strings.Split(t, separator)
	}
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	list := make([]any, len(parts))
	for i, part := range parts {
		list[i] = part
	}
	return list, nil
}
