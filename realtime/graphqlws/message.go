package graphqlws

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// message is a client's message. Of its payload no more is known than that it is JSON.
type message struct {
	kind    string // "type"
	id      string
	payload []byte // nil if there is none, or null
}

var (
	errNoObject  = errors.New("want a text frame with one JSON object")
	errNoString  = errors.New("type and id must be strings")
	errDuplicate = errors.New("type, id and payload may occur once")
)

// parse takes a message apart. It is strict where leniency would let two readers disagree on what a message says: keys
// are matched exactly and none of ours may occur twice. Others are ignored.
func parse(data []byte) (m message, err error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return m, errNoObject
	}
	// Valid JSON from here on: what must come next is there.
	i := skipSpace(data, 0)
	if data[i] != '{' {
		return m, errNoObject
	}
	var kind, id, payload []byte
	for i = skipSpace(data, i+1); data[i] != '}'; {
		end := endOfString(data, i)
		key := unquote(data[i:end])
		i = skipSpace(data, skipSpace(data, end)+1) // beyond the colon
		end = endOfValue(data, i)
		var field *[]byte
		switch key {
		case "type":
			field = &kind
		case "id":
			field = &id
		case "payload":
			field = &payload
		}
		if field != nil {
			if *field != nil {
				return m, errDuplicate
			}
			*field = data[i:end]
		}
		if i = skipSpace(data, end); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	if kind == nil || kind[0] != '"' || id != nil && id[0] != '"' {
		return m, errNoString
	}
	if payload != nil && payload[0] != 'n' {
		m.payload = payload
	}
	m.kind = unquote(kind)
	if id != nil {
		m.id = unquote(id)
	}
	return m, nil
}

// unquote returns the value of a valid JSON string.
func unquote(quoted []byte) string {
	s := string(quoted[1 : len(quoted)-1])
	if strings.IndexByte(s, '\\') >= 0 {
		_ = json.Unmarshal(quoted, &s) // valid
	}
	return s
}

// The following walk valid JSON; each is given the index at which something begins.

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

func endOfString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func endOfValue(data []byte, i int) int {
	for depth := 0; ; i++ {
		switch data[i] {
		case '"':
			i = endOfString(data, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			for i+1 < len(data) && strings.IndexByte(",]} \t\n\r", data[i+1]) < 0 { // a number or a word
				i++
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
}
