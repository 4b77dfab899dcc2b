package recipient

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

func slack(c ...belfry.SlackConnection) belfry.ChannelData {
	return belfry.ChannelData{Channel: "chat", Slack: &belfry.SlackData{Connections: c}}
}

func push(d ...belfry.PushDevice) belfry.ChannelData {
	return belfry.ChannelData{Channel: "ios", Push: &belfry.PushData{Devices: d}}
}

func devices(n int) (out []belfry.PushDevice) {
	for i := range n {
		out = append(out, belfry.PushDevice{Token: fmt.Sprint("token ", i)})
	}
	return out
}

func TestChannelDataIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := belfry.User("ann")
	first := push(belfry.PushDevice{Token: "a", Locale: "de", Timezone: "Europe/Berlin"}, belfry.PushDevice{Token: "b"}, belfry.PushDevice{Token: "a"})
	if _, err := w.SetChannelData(t.Context(), w.production, ann, first, true); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("somebody who must be known: %v", err)
	}
	for _, data := range []belfry.ChannelData{first, slack(belfry.SlackConnection{ChannelID: "C1", AccessToken: "xoxb"}), push(devices(1)...), first} {
		if _, err := w.SetChannelData(t.Context(), w.production, ann, data, false); err != nil {
			t.Fatal(err)
		}
	}
	id, err := w.UserID(t.Context(), w.production, "ann")
	if err != nil || id == 0 {
		t.Fatalf("ann is %d, %v", id, err)
	}
	got, err := w.ChannelData(t.Context(), w.production, []belfry.RecipientID{id})
	if err != nil {
		t.Fatal(err)
	}
	want := []belfry.ChannelData{slack(belfry.SlackConnection{ChannelID: "C1", AccessToken: "xoxb"}),
		push(belfry.PushDevice{Token: "a", Locale: "de", Timezone: "Europe/Berlin"}, belfry.PushDevice{Token: "b"})}
	for i := range got[id] {
		got[id][i].UpdatedAt = want[0].UpdatedAt
	}
	if diff := cmp.Diff(want, got[id]); diff != "" {
		t.Errorf("channel data (-want +got):\n%s", diff)
	}
	if got, err := w.ChannelData(t.Context(), w.staging, []belfry.RecipientID{id}); err != nil || len(got) != 0 {
		t.Errorf("staging reads %v, %v", got, err)
	}
	reach, err := w.Reach(t.Context(), w.production, []belfry.RecipientID{id, id + 1})
	if diff := cmp.Diff(map[belfry.RecipientID]map[string]belfry.ChannelType{id: {"chat": belfry.Chat, "ios": belfry.Push}}, reach); diff != "" || err != nil {
		t.Errorf("reach %v (-want +got):\n%s", err, diff)
	}
	if removed, err := w.UnsetChannelData(t.Context(), w.staging, ann, "ios"); removed || err != nil {
		t.Errorf("staging removes it: %v, %v", removed, err)
	}
	for _, want := range []bool{true, false} {
		if removed, err := w.UnsetChannelData(t.Context(), w.production, ann, "ios"); removed != want || err != nil {
			t.Errorf("removed %v, %v; want %v", removed, err, want)
		}
	}
}

// A token alone is where messages go from, not where they go to.
func TestATenantMayHaveATokenOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"}
	data := belfry.ChannelData{Channel: "chat", Slack: &belfry.SlackData{AccessToken: "xoxb"}}
	if _, err := w.SetChannelData(t.Context(), w.production, acme, data, false); err != nil {
		t.Fatal(err)
	}
	id, _ := w.ID(t.Context(), w.production, acme)
	if reach, err := w.Reach(t.Context(), w.production, []belfry.RecipientID{id}); len(reach) != 0 || err != nil {
		t.Errorf("reach %v, %v", reach, err)
	}
}

func TestChannelDataIsChecked(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	hook := "https://hooks.example.com/" + long(maxURLLength-len("https://hooks.example.com/"))
	teams := func(c ...belfry.MSTeamsConnection) belfry.ChannelData {
		return belfry.ChannelData{Channel: "chat", MSTeams: &belfry.MSTeamsData{Connections: c}}
	}
	discord := func(c ...belfry.DiscordConnection) belfry.ChannelData {
		return belfry.ChannelData{Channel: "chat", Discord: &belfry.DiscordData{Connections: c}}
	}
	both := push(devices(1)...)
	both.Discord = &belfry.DiscordData{Connections: []belfry.DiscordConnection{{ChannelID: "1"}}}
	for _, row := range []struct {
		name  string
		data  belfry.ChannelData
		code  belfry.Code // empty: fine
		field string
		limit int
	}{
		{"devices", push(devices(MaxConnections)...), "", "", 0},
		{"too many devices", push(devices(MaxConnections + 1)...), belfry.TooLarge, "input.push.devices", MaxConnections},
		{"no devices", push(), belfry.Invalid, "input.push.devices", 0},
		{"long token", push(belfry.PushDevice{Token: long(maxTokenLength)}), "", "", 0},
		{"too long a token", push(belfry.PushDevice{Token: "a"}, belfry.PushDevice{Token: long(maxTokenLength + 1)}), belfry.TooLarge, "input.push.devices[1].token", maxTokenLength},
		{"empty token", push(belfry.PushDevice{}), belfry.Invalid, "input.push.devices[0].token", 0},
		{"NUL in a token", push(belfry.PushDevice{Token: "a\x00"}), belfry.Invalid, "input.push.devices[0].token", 0},
		{"no locale", push(belfry.PushDevice{Token: "a", Locale: "!"}), belfry.Invalid, "input.push.devices[0].locale", 0},
		{"no time zone", push(belfry.PushDevice{Token: "a", Timezone: "Mars"}), belfry.Invalid, "input.push.devices[0].timezone", 0},
		{"nothing", belfry.ChannelData{Channel: "x"}, belfry.Invalid, "input", 0},
		{"two shapes", both, belfry.Invalid, "input", 0},
		{"no channel", belfry.ChannelData{Push: both.Push}, belfry.Invalid, "input.channel", 0},
		{"slack person", slack(belfry.SlackConnection{UserID: "U1"}), "", "", 0},
		{"slack webhook", slack(belfry.SlackConnection{WebhookURL: hook}), "", "", 0},
		{"too long a webhook", slack(belfry.SlackConnection{WebhookURL: hook + "x"}), belfry.TooLarge, "input.slack.connections[0].webhookUrl", maxURLLength},
		{"slack nowhere", slack(belfry.SlackConnection{AccessToken: "x"}), belfry.Invalid, "input.slack.connections[0]", 0},
		{"slack at two places", slack(belfry.SlackConnection{UserID: "U1", ChannelID: "C1"}), belfry.Invalid, "input.slack.connections[0]", 0},
		{"slack without connections", slack(), belfry.Invalid, "input.slack.connections", 0},
		{"plain http", slack(belfry.SlackConnection{WebhookURL: "http://example.com"}), belfry.Invalid, "input.slack.connections[0].webhookUrl", 0},
		{"a password", slack(belfry.SlackConnection{WebhookURL: "https://a:b@example.com"}), belfry.Invalid, "input.slack.connections[0].webhookUrl", 0},
		{"no URL", slack(belfry.SlackConnection{WebhookURL: "example.com"}), belfry.Invalid, "input.slack.connections[0].webhookUrl", 0},
		{"long id", slack(belfry.SlackConnection{ChannelID: long(maxConnectionIDLength)}), "", "", 0},
		{"too long an id", slack(belfry.SlackConnection{ChannelID: long(maxConnectionIDLength + 1)}), belfry.TooLarge, "input.slack.connections[0].channelId", maxConnectionIDLength},
		{"teams", teams(belfry.MSTeamsConnection{TenantID: "t", TeamID: "t", ChannelID: "c"}), "", "", 0},
		{"teams nowhere", teams(belfry.MSTeamsConnection{TenantID: "t"}), belfry.Invalid, "input.msTeams.connections[0]", 0},
		{"too long a team", teams(belfry.MSTeamsConnection{UserID: "u", TeamID: long(maxConnectionIDLength + 1)}), belfry.TooLarge, "input.msTeams.connections[0].teamId", maxConnectionIDLength},
		{"discord", discord(belfry.DiscordConnection{ChannelID: "1"}, belfry.DiscordConnection{WebhookURL: hook}), "", "", 0},
		{"discord nowhere", discord(belfry.DiscordConnection{}), belfry.Invalid, "input.discord.connections[0]", 0},
	} {
		err := checkChannelData(&row.data, "input")
		if row.code == "" {
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
			}
			continue
		}
		t.Run(row.name, func(t *testing.T) { wantError(t, err, row.code, row.field, row.limit) })
	}
}

// What is read of a page of recipients has to end somewhere, however many channels, devices and long tokens there are.
func TestChannelDataOfARecipientHasASize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(channel string, lengths ...int) error {
		data := belfry.ChannelData{Channel: channel, Push: &belfry.PushData{}}
		for i, n := range lengths {
			token := fmt.Sprintf("%03d", i)
			data.Push.Devices = append(data.Push.Devices, belfry.PushDevice{Token: token + strings.Repeat("x", n-len(token))})
		}
		_, err := w.SetChannelData(t.Context(), w.production, belfry.User("ann"), data, false)
		return err
	}
	for i := range 2 {
		if err := set(fmt.Sprint("c", i), slices.Repeat([]int{maxTokenLength}, MaxConnections)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := set("c2", 100); err != nil {
		t.Fatal(err)
	}
	var size int
	if err := w.pool.QueryRow(t.Context(), `SELECT sum(octet_length(data::text)) FROM channel_data`).Scan(&size); err != nil {
		t.Fatal(err)
	}
	free := MaxChannelDataSize - size // so much may be added, device by device: what each costs besides its token is measured
	if err := set("c2", 100, 100); err != nil {
		t.Fatal(err)
	}
	var two int
	if err := w.pool.QueryRow(t.Context(), `SELECT sum(octet_length(data::text)) FROM channel_data`).Scan(&two); err != nil {
		t.Fatal(err)
	}
	besides := two - size - 100
	lengths := []int{100}
	for ; free > maxTokenLength+2*besides+3; free -= maxTokenLength + besides {
		lengths = append(lengths, maxTokenLength)
	}
	if free > maxTokenLength+besides { // too much for one device, and enough for two
		lengths, free = append(lengths, 3), free-3-besides
	}
	if err := set("c2", append(slices.Clone(lengths), free-besides)...); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	wantError(t, set("c2", append(lengths, free-besides+1)...), belfry.TooLarge, "input", MaxChannelDataSize)
}

func TestChannelsOfARecipientHaveALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(channel string) error {
		data := push(devices(1)...)
		data.Channel = channel
		_, err := w.SetChannelData(t.Context(), w.production, belfry.User("ann"), data, false)
		return err
	}
	for i := range MaxChannels {
		if err := set(fmt.Sprint("channel-", i)); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, set("one-more"), belfry.TooLarge, "input.channel", MaxChannels)
	if err := set("channel-7"); err != nil {
		t.Errorf("one that is there already: %v", err)
	}
}
