package template

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/osteele/liquid/values"
)

// print writes a value as Liquid prints it, escaped if the format asks for it.
func (s *state) print(v any) error {
	if t, ok := v.(string); ok && s.format == Text {
		return s.write(t)
	}
	safe, isSafe := v.(values.SafeValue)
	if isSafe {
		v = safe.Value
	}
	start := len(s.out)
	out, ok := appendText(s.out, v, s.limit, MaxDataDepth)
	if !ok {
		return s.tooMuch()
	}
	s.out = out
	if s.format == HTML && !isSafe {
		if printed := s.out[start:]; needsEscape(printed) {
			escaped := escapeHTML(string(printed))
			s.out = s.out[:start]
			return s.write(escaped)
		}
	}
	return nil
}

// appendText appends what a value prints. It reports false when that is longer than limit or nests too deep.
func appendText(out []byte, v any, limit, depth int) ([]byte, bool) {
	switch v := v.(type) {
	case nil, blankValue, emptyValue:
	case string:
		if len(out)+len(v) > limit {
			return out, false
		}
		out = append(out, v...)
	case bool:
		out = strconv.AppendBool(out, v)
	case int:
		out = strconv.AppendInt(out, int64(v), 10)
	case float64:
		out = appendFloat(out, v)
	case []any:
		ok := depth > 1
		for i := 0; ok && i < len(v); i++ {
			out, ok = appendText(out, element(v[i]), limit, depth-1)
		}
		return out, ok
	case map[string]any:
		return appendInspected(out, v, limit, depth)
	case values.Range:
		from, to := bounds(v)
		out = strconv.AppendInt(append(strconv.AppendInt(out, int64(from), 10), ".."...), int64(to), 10)
	case time.Time:
		out = v.AppendFormat(out, time.RFC3339)
	case values.SafeValue:
		return appendText(out, v.Value, limit, depth)
	case *loop:
		out = append(out, "forloop"...)
	}
	return out, len(out) <= limit
}

// appendInspected appends a value the way it is printed within an object: {"name"=>"Ann", "tags"=>["a"]}.
func appendInspected(out []byte, v any, limit, depth int) ([]byte, bool) {
	if depth < 1 || len(out) > limit {
		return out, false
	}
	ok := true
	switch v := v.(type) {
	case nil:
		return append(out, "nil"...), true
	case string:
		if len(out)+len(v) > limit {
			return out, false
		}
		return strconv.AppendQuote(out, v), true
	case []any:
		out = append(out, '[')
		for i := 0; ok && i < len(v); i++ {
			if i > 0 {
				out = append(out, ", "...)
			}
			out, ok = appendInspected(out, element(v[i]), limit, depth-1)
		}
		return append(out, ']'), ok
	case map[string]any:
		out = append(out, '{')
		for i, key := range keys(v) {
			if i > 0 {
				out = append(out, ", "...)
			}
			if out = append(strconv.AppendQuote(out, key), "=>"...); ok {
				out, ok = appendInspected(out, element(v[key]), limit, depth-1)
			}
		}
		return append(out, '}'), ok
	}
	return appendText(out, v, limit, depth)
}

// appendFloat always shows that a number has a fraction: 3.0, 1.0e+20.
func appendFloat(out []byte, f float64) []byte {
	switch size := math.Abs(f); {
	case math.IsNaN(f):
		return append(out, "NaN"...)
	case math.IsInf(f, 0):
		return append(out, strings.Repeat("-", btoi(f < 0))+"Infinity"...)
	case size != 0 && (size < 1e-4 || size >= 1e16):
		digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		if !strings.Contains(digits, ".") {
			digits += ".0"
		}
		return append(out, digits+"e"+exponent...)
	}
	start := len(out)
	out = strconv.AppendFloat(out, f, 'f', -1, 64)
	if !strings.Contains(string(out[start:]), ".") {
		out = append(out, ".0"...)
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// text is what a value prints, cut off a little above MaxValue: whoever gets it checks its length.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	out, ok := appendText(nil, v, MaxValue, MaxDataDepth)
	if !ok {
		panic(tooLong)
	}
	return string(out)
}

func isSpace(s string) bool { return strings.Trim(s, spaces) == "" }

func needsEscape(b []byte) bool {
	for _, c := range b {
		switch c {
		case '<', '>', '&', '\'', '"':
			return true
		}
	}
	return false
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

func escapeHTML(s string) string { return htmlEscaper.Replace(s) }
