package logging_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/delivery/provider/logging"
)

func TestTheLogTellsWhoGotWhatButNotTheBody(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := &delivery.Outgoing{Attempt: 2, IdempotencyKey: "key-1", Message: belfry.Message{
		UserID: "ann", Recipient: 3, Seq: 1 << 40, Channel: "mail", ChannelType: belfry.Email, Workflow: "welcome", StepRef: "greet",
		Content: belfry.Content{
			Subject: "Hello" + strings.Repeat("!", 200), To: "ann@example.com", Body: belfry.Body{Content: "secret 1", Rendered: "secret 2"},
			Data: map[string]any{"a": "secret 3"}, Request: &belfry.Request{URL: "https://secret-4.example", Headers: map[string]string{"a": "secret 5"}, Body: "secret 6"},
		},
	}}
	receipt, err := logging.New(slog.New(slog.NewJSONHandler(&out, nil))).Send(t.Context(), m)
	if err != nil || receipt.ID != "key-1" || receipt.Delivered {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	for _, want := range []string{`"recipient":"ann"`, `"channel":"mail"`, `"subject":"Hello!!`, `"attempt":2`, `"body_bytes":8`, m.ID().String()} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, &out)
		}
	}
	for _, secret := range []string{"secret", "ann@example.com", strings.Repeat("!", 100)} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q in %s", secret, &out)
		}
	}
}
