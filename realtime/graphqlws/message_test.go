package graphqlws

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		data    string
		want    message
		wantErr error
	}{
		{data: `{"type":"ping"}`, want: message{kind: "ping"}},
		{data: "  { \"id\" : \"a\\\"b\" ,\n\t\"type\":\"subscribe\", \"payload\" : {\"q\":[1,\"}\",{}]} } ",
			want: message{kind: "subscribe", id: `a"b`, payload: []byte(`{"q":[1,"}",{}]}`)}},
		{data: `{"type":"\u0070ing","payload":null}`, want: message{kind: "ping"}},
		{data: `{"\u0074ype":"ping"}`, want: message{kind: "ping"}},
		{data: `{"type":"ping","payload":-1.5e3,"id":"1"}`, want: message{kind: "ping", id: "1", payload: []byte(`-1.5e3`)}},
		{data: `{"type":"ping","TYPE":1,"other":[{"id":7}]}`, want: message{kind: "ping"}},
		{data: ``, wantErr: errNoObject},
		{data: `null`, wantErr: errNoObject},
		{data: `[]`, wantErr: errNoObject},
		{data: `{"type":"ping"} {}`, wantErr: errNoObject},
		{data: `{"type":"ping",}`, wantErr: errNoObject},
		{data: "{\"type\":\"ping\",\"id\":\"\xff\"}", wantErr: errNoObject},
		{data: `{}`, wantErr: errNoString},
		{data: `{"type":7}`, wantErr: errNoString},
		{data: `{"type":"complete","id":7}`, wantErr: errNoString},
		{data: `{"type":"ping","type":"ping"}`, wantErr: errDuplicate},
		{data: `{"type":"ping","payload":null,"payload":{}}`, wantErr: errDuplicate},
	} {
		got, err := parse([]byte(tt.data))
		if err != tt.wantErr {
			t.Errorf("parse(%s): %v, want %v", tt.data, err, tt.wantErr)
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(message{})); err == nil && diff != "" {
			t.Errorf("parse(%s) (-want +got):\n%s", tt.data, diff)
		}
	}
}

// What parse takes, encoding/json understands in the same way.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"type":"ping"}`, `{"id":"\ud83d\ude00","type":"subscribe","payload":{"query":"{a(b:\"}\")}"}}`,
		`{"payload":[[],{"a":"\\"}],"type":"x"}`, `{"type":"a","x":1e9,"payload":true}`, ` {} `, `{"":"","type":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(data)
		var keys map[string]json.RawMessage
		valid := utf8.Valid(data) && json.Unmarshal(data, &keys) == nil && keys != nil
		if err != nil {
			if valid && err == errNoObject {
				t.Fatalf("%s is an object", data)
			}
			return
		}
		if !valid {
			t.Fatalf("%s isn't an object", data)
		}
		var kind, id string
		if json.Unmarshal(keys["type"], &kind) != nil || kind != m.kind {
			t.Errorf("%s: type %q, want %s", data, m.kind, keys["type"])
		}
		if keys["id"] != nil && json.Unmarshal(keys["id"], &id) != nil || id != m.id {
			t.Errorf("%s: id %q, want %s", data, m.id, keys["id"])
		}
		payload := string(keys["payload"])
		if strings.TrimSpace(payload) == "null" {
			payload = ""
		}
		if payload != string(m.payload) {
			t.Errorf("%s: payload %s, want %s", data, m.payload, payload)
		}
	})
}
