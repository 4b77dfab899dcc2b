package recipient

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/belfryhq/belfry"
)

// linked is a world that makes links, with Ana and the tenant acme.
func linked(t *testing.T) (w *world, ana, acme belfry.RecipientID) {
	t.Helper()
	w = newWorld(t)
	w.PublicURL = "https://notify.example.com"
	ids, err := w.identify(t.Context(), w.production, user("ana", nil), Identity{RecipientRef: tenant("acme"), Properties: map[string]any{"name": "Acme"}})
	if err != nil {
		t.Fatal(err)
	}
	return w, ids[belfry.User("ana")], ids[tenant("acme")]
}

func tenant(id string) belfry.RecipientRef {
	return belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: id}
}

// link makes a link, and returns its token.
func (w *world) link(t *testing.T, env belfry.EnvironmentID, l Link, tenant string) string {
	t.Helper()
	url, err := w.LinkURL(t.Context(), env, l, tenant)
	if err != nil {
		t.Fatal(err)
	}
	path := UnsubscribePath
	if l.Purpose == ToPreferences {
		path = PreferencesPath
	}
	token, ok := strings.CutPrefix(url, "https://notify.example.com"+path)
	if !ok {
		t.Fatalf("the link %s isn't below %s", url, path)
	}
	return token
}

func (w *world) refuses(t *testing.T, what, token string) {
	t.Helper()
	if l, err := w.OpenLink(t.Context(), token); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("%s: %.80q opened %+v, %v", what, token, l, err)
	}
}

func TestALinkSaysWhatItWasMadeFor(t *testing.T) {
	t.Parallel()
	w, ana, acme := linked(t)
	for _, want := range []Link{
		{Recipient: ana, Purpose: ToPreferences},
		{Recipient: ana, Purpose: LeaveCommercial, Tenant: acme},
		{Recipient: ana, Purpose: LeaveCategory, Key: "Ünïcode / #1", Tenant: acme},
		{Recipient: ana, Purpose: LeaveWorkflow, Key: strings.Repeat("😀", MaxPreferenceName)},
	} {
		name := ""
		if want.Tenant != 0 {
			name = "acme"
		}
		token := w.link(t, w.production, want, name)
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(token) > MaxLinkToken {
			t.Errorf("token of %d characters: %q", len(token), token)
		}
		want.Environment = w.production
		got, err := w.OpenLink(t.Context(), token)
		if err != nil || got.Link != want || got.Who.ExternalID != "ana" || (got.For != nil) != (name != "") {
			t.Errorf("opened %+v, %v; want %+v", got, err, want)
		}
	}
}

// Whatever is changed about a token, it doesn't work any more.
func TestATokenThatWasChangedDoesNotWork(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	token := w.link(t, w.production, Link{Recipient: ana, Purpose: LeaveCategory, Key: "news"}, "acme")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for _, flip := range []byte{1, 0x80, 0xff} {
			changed := append([]byte(nil), raw...)
			changed[i] ^= flip
			w.refuses(t, "a changed byte", base64.RawURLEncoding.EncodeToString(changed))
		}
		w.refuses(t, "a missing end", base64.RawURLEncoding.EncodeToString(raw[:i]))
	}
	for i := range token {
		for _, c := range "A-_.\n\x00%é" {
			if string(c) != token[i:i+1] {
				w.refuses(t, "a changed character", token[:i]+string(c)+token[i+1:])
			}
		}
	}
	for _, added := range []string{"A", "=", "\n", "AAAA", "/", " ", "\x00", strings.Repeat("A", 1<<20)} {
		w.refuses(t, "something behind it", token+added)
		w.refuses(t, "something before it", added+token)
	}
	w.refuses(t, "nothing", "")
	w.refuses(t, "the longest token", strings.Repeat("A", MaxLinkToken))
}

// Nothing is computed of what is too long. Not parallel: it counts allocations.
func TestTokensAreBounded(t *testing.T) {
	for length, read := range map[int]bool{MaxLinkToken: true, MaxLinkToken + 1: false} {
		token := strings.Repeat("A", length)
		if n := testing.AllocsPerRun(10, func() { parseLink(token) }); (n > 0) != read {
			t.Errorf("a token of %d characters cost %v allocations", length, n)
		}
	}
}

// A link opens nothing of another environment, even if it names the same numbers.
func TestALinkIsOfOneEnvironment(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	links, err := w.LoadLinks(t.Context(), w.pool, []belfry.EnvironmentID{w.production, w.staging})
	if err != nil {
		t.Fatal(err)
	}
	if string(links[w.production].secret) == string(links[w.staging].secret) || len(links[w.staging].secret) != linkSecretSize {
		t.Error("two environments share their secret")
	}
	forged := Link{Environment: w.production, Recipient: ana, Purpose: ToPreferences}
	w.refuses(t, "signed by the other environment", forged.token(links[w.staging].secret))
	w.refuses(t, "somebody of the other environment", strings.TrimPrefix(links[w.staging].URL(forged), w.PublicURL+PreferencesPath))
	w.refuses(t, "an environment that there isn't", (&Link{Environment: 999, Recipient: ana, Purpose: ToPreferences}).token(nil))
	w.refuses(t, "no secret", forged.token(nil))
}

// Whoever gets the id of somebody who was deleted inherits none of their links.
func TestALinkDiesWithItsRecipient(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	token := w.link(t, w.production, Link{Recipient: ana, Purpose: LeaveCommercial}, "acme")
	opened, err := w.OpenLink(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("ana")}, "input"); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, "somebody deleted", token)
	if _, err := w.identify(t.Context(), w.production, user("ana", nil)); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, "another person of that id", token)
	if err := w.Choose(t.Context(), opened, []PreferenceWish{{Rule: belfry.CommercialRule}}); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("a page that was open when she was deleted: %v", err)
	}
}

// Mail with links of somebody who was merged lies around for years, and some of it is sent afterwards: its links are of whoever took
// over, for as long as there is somebody.
func TestALinkFollowsMerges(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	if _, err := w.identify(t.Context(), w.production, user("ana@work", nil), user("ana@home", nil)); err != nil {
		t.Fatal(err)
	}
	leave := []PreferenceWish{{Rule: belfry.CommercialRule}}
	token := w.link(t, w.production, Link{Recipient: ana, Purpose: LeaveCommercial}, "acme")
	before, err := w.OpenLink(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ into, from string }{{"ana@work", "ana"}, {"ana@home", "ana@work"}} {
		if _, err := w.MergeUsers(t.Context(), w.production, step.into, step.from); err != nil {
			t.Fatal(err)
		}
		who := belfry.User(step.into)
		for name, click := range map[string]func() error{
			"a link": func() error {
				opened, err := w.OpenLink(t.Context(), token)
				if err != nil {
					return err
				}
				if opened.Who.ExternalID != step.into || opened.Recipient != w.id(t, who) || opened.For == nil {
					t.Errorf("opened %+v", opened)
				}
				return w.Choose(t.Context(), opened, leave)
			},
			"a page that was open before": func() error { return w.Choose(t.Context(), before, leave) },
		} {
			if _, err := w.DeletePreferences(t.Context(), w.production, who, belfry.DefaultPreferences); err != nil {
				t.Fatal(err)
			}
			if err := click(); err != nil {
				t.Fatalf("%s, of %s: %v", name, step.into, err)
			}
			if sets, err := w.PreferenceSetsOf(t.Context(), w.production, who, ""); err != nil || sets.Recipient.Map()["commercialSubscribed"] != false {
				t.Errorf("%s: %s has %v, %v", name, step.into, sets.Recipient.Map(), err)
			}
		}
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("ana@home")}, "input"); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, "whoever took over is deleted", token)
	if n := w.count(t, `SELECT count(*) FROM merged`); n != 0 {
		t.Errorf("%d merges are remembered of nobody", n)
	}
}

// Without its tenant, a link still leads to the recipient's preferences.
func TestALinkOutlivesItsTenant(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	token := w.link(t, w.production, Link{Recipient: ana, Purpose: ToPreferences}, "acme")
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{tenant("acme")}, "input"); err != nil {
		t.Fatal(err)
	}
	if got, err := w.OpenLink(t.Context(), token); err != nil || got.For != nil {
		t.Errorf("opened %+v, %v", got, err)
	}
}

func TestSecretsAreRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	fresh := func() string { return w.link(t, w.production, Link{Recipient: ana, Purpose: ToPreferences}, "") }
	works := func(what, token string) {
		t.Helper()
		if _, err := w.OpenLink(t.Context(), token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	rotate := func(want int) {
		t.Helper()
		if n, err := w.RotateLinkSecret(t.Context(), w.production); err != nil || n != want {
			t.Fatalf("%d secrets, %v; want %d", n, err, want)
		}
	}
	first := fresh()
	rotate(2)
	second := fresh()
	if first == second {
		t.Error("the new secret signs nothing")
	}
	works("a link from before the rotation", first)
	if n, err := w.RevokeLinkSecrets(t.Context(), w.production); err != nil || n != 1 {
		t.Errorf("revoked %d, %v", n, err)
	}
	w.refuses(t, "a revoked secret", first)
	works("a link from after the rotation", second)
	for i := range MaxLinkSecrets {
		works("a secret that is kept", second)
		rotate(min(i+2, MaxLinkSecrets))
	}
	w.refuses(t, "one rotation too many", second)
	works("the newest", fresh())
}

func TestLinksThatCanNotBeMade(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	for _, c := range []struct {
		link   Link
		tenant string
		code   belfry.Code
		field  string
		limit  int
	}{
		{Link{Recipient: ana, Purpose: LeaveCategory}, "", belfry.Invalid, "category", 0},
		{Link{Recipient: ana, Purpose: LeaveWorkflow, Key: "a\x00b"}, "", belfry.Invalid, "workflow", 0},
		{Link{Recipient: ana, Purpose: LeaveCategory, Key: strings.Repeat("é", MaxPreferenceName+1)}, "", belfry.TooLarge, "category", MaxPreferenceName},
		{Link{Recipient: ana, Purpose: ToPreferences}, "nobody", belfry.NotFound, "tenant", 0},
	} {
		_, err := w.LinkURL(t.Context(), w.production, c.link, c.tenant)
		wantError(t, err, c.code, c.field, c.limit)
	}
	w.PublicURL = ""
	_, err := w.LinkURL(t.Context(), w.production, Link{Recipient: ana, Purpose: ToPreferences}, "")
	wantError(t, err, belfry.NotConfigured, "", 0)
}

// Whatever a token is, taking it apart doesn't fail, and what was read makes the same token again.
func FuzzParseLink(f *testing.F) {
	secret := []byte("secret")
	for _, l := range []Link{
		{Environment: 1, Recipient: 1, Purpose: ToPreferences}, {Environment: 1 << 62, Recipient: 1 << 62, Tenant: 1 << 62, Purpose: LeaveCommercial},
		{Environment: 1, Recipient: 2, Purpose: LeaveCategory, Key: "news"}, {Environment: 1, Recipient: 2, Tenant: 3, Purpose: LeaveWorkflow, Key: strings.Repeat("é", 255)},
	} {
		f.Add(l.token(secret))
		f.Add(l.token(nil))
	}
	for _, s := range []string{"", "A", "AQ", "\x00", "AQEBBABdNkrDmVXlCO19tPBnGfo=", strings.Repeat("_", 300), "AQH_____________AQEBAQEBAQEBAQEBAQEBAQE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		u, ok := parseLink(token)
		if !ok {
			return
		}
		if u.signedBy([][]byte{nil, {}}) {
			t.Error("signed by no secret")
		}
		if again := u.token(secret); u.signedBy([][]byte{secret}) && again != token {
			t.Errorf("%q came back as %q", token, again)
		}
	})
}

// benchmarks and the engine rely on it: nothing is read where nothing can be made.
func TestWithoutAnAddressNoSecretIsRead(t *testing.T) {
	t.Parallel()
	links, err := New(nil, nil).LoadLinks(context.Background(), nil, []belfry.EnvironmentID{1})
	if links != nil || err != nil {
		t.Errorf("%v, %v", links, err)
	}
}
