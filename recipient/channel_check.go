package recipient

import (
	"fmt"
	"net/url"

	"github.com/belfryhq/belfry"
)

// What channel data may hold.
const (
	MaxChannels    = 50  // with data, of one recipient
	MaxConnections = 100 // or devices, on one channel
	// MaxChannelDataSize bounds what a recipient has on all channels, in bytes of JSON as the database writes it.
	MaxChannelDataSize = 1 << 20

	maxTokenLength        = 4096 // bytes
	maxConnectionIDLength = 255  // bytes
	maxURLLength          = 2048 // bytes
)

// checkChannelData refuses what no provider could use, and drops devices that are named twice.
func checkChannelData(d *belfry.ChannelData, field string) error {
	if err := belfry.ValidateKey(d.Channel, field+".channel"); err != nil {
		return err
	}
	shapes := 0
	for _, given := range []bool{d.Push != nil, d.Slack != nil, d.MSTeams != nil, d.Discord != nil} {
		if given {
			shapes++
		}
	}
	if shapes != 1 {
		return belfry.Errorf(belfry.Invalid, "give exactly one of push, slack, msTeams and discord").At("%s", field)
	}
	switch {
	case d.Push != nil:
		return checkPush(d.Push, field+".push")
	case d.Slack != nil:
		return checkSlack(d.Slack, field+".slack")
	case d.MSTeams != nil:
		return checkTeams(d.MSTeams, field+".msTeams")
	}
	return checkDiscord(d.Discord, field+".discord")
}

func checkPush(d *belfry.PushData, field string) error {
	if err := checkCount(len(d.Devices), false, field+".devices", "devices"); err != nil {
		return err
	}
	seen := map[string]bool{}
	unique := make([]belfry.PushDevice, 0, len(d.Devices))
	for i, device := range d.Devices {
		at := fmt.Sprintf("%s.devices[%d]", field, i)
		if err := checkText(device.Token, true, maxTokenLength, at+".token"); err != nil {
			return err
		}
		if err := validateReserved(device.Locale, checkLocale, "locale", at); err != nil {
			return err
		}
		if err := validateReserved(device.Timezone, checkTimezone, "timezone", at); err != nil {
			return err
		}
		if !seen[device.Token] {
			seen[device.Token] = true
			unique = append(unique, device)
		}
	}
	d.Devices = unique
	return nil
}

func checkSlack(d *belfry.SlackData, field string) error {
	if err := checkCount(len(d.Connections), d.AccessToken != "", field+".connections", "connections"); err != nil {
		return err
	}
	if err := checkText(d.AccessToken, false, maxTokenLength, field+".accessToken"); err != nil {
		return err
	}
	for i, c := range d.Connections {
		at := fmt.Sprintf("%s.connections[%d]", field, i)
		if err := checkText(c.AccessToken, false, maxTokenLength, at+".accessToken"); err != nil {
			return err
		}
		if err := checkText(c.ChannelName, false, maxConnectionIDLength, at+".channelName"); err != nil {
			return err
		}
		if err := checkDestination(at, c.WebhookURL, ids{{"channelId", c.ChannelID}, {"userId", c.UserID}}); err != nil {
			return err
		}
	}
	return nil
}

func checkTeams(d *belfry.MSTeamsData, field string) error {
	if err := checkCount(len(d.Connections), d.TenantID != "", field+".connections", "connections"); err != nil {
		return err
	}
	if err := checkText(d.TenantID, false, maxConnectionIDLength, field+".tenantId"); err != nil {
		return err
	}
	for i, c := range d.Connections {
		at := fmt.Sprintf("%s.connections[%d]", field, i)
		for _, id := range (ids{{"tenantId", c.TenantID}, {"teamId", c.TeamID}}) {
			if err := checkText(id.value, false, maxConnectionIDLength, at+"."+id.name); err != nil {
				return err
			}
		}
		if err := checkDestination(at, c.WebhookURL, ids{{"channelId", c.ChannelID}, {"userId", c.UserID}}); err != nil {
			return err
		}
	}
	return nil
}

func checkDiscord(d *belfry.DiscordData, field string) error {
	if err := checkCount(len(d.Connections), false, field+".connections", "connections"); err != nil {
		return err
	}
	for i, c := range d.Connections {
		at := fmt.Sprintf("%s.connections[%d]", field, i)
		if err := checkDestination(at, c.WebhookURL, ids{{"channelId", c.ChannelID}}); err != nil {
			return err
		}
	}
	return nil
}

type ids []struct{ name, value string }

// checkDestination sees that a connection leads to one place.
func checkDestination(field, webhook string, alternatives ids) error {
	given := 0
	names := ""
	for _, id := range alternatives {
		if err := checkText(id.value, false, maxConnectionIDLength, field+"."+id.name); err != nil {
			return err
		}
		if names += id.name + ", "; id.value != "" {
			given++
		}
	}
	if webhook != "" {
		given++
		if err := checkURL(webhook, field+".webhookUrl", "https"); err != nil {
			return err
		}
	}
	if given != 1 {
		return belfry.Errorf(belfry.Invalid, "give exactly one of %swebhookUrl", names).At("%s", field)
	}
	return nil
}

// checkURL takes absolute URLs with one of the schemes, and without a password.
func checkURL(text, field string, schemes ...string) error {
	if err := checkText(text, true, maxURLLength, field); err != nil {
		return err
	}
	u, err := url.Parse(text)
	for _, scheme := range schemes {
		if err == nil && u.Scheme == scheme && u.Host != "" && u.User == nil {
			return nil
		}
	}
	return belfry.Errorf(belfry.Invalid, "must be an absolute URL with %s, without a user", schemes[0]).At("%s", field)
}

func checkCount(n int, noneIsFine bool, field, unit string) error {
	switch {
	case n > MaxConnections:
		return belfry.Beyond(field, MaxConnections, unit)
	case n == 0 && !noneIsFine:
		return belfry.Errorf(belfry.Invalid, "at least one is required: unset the channel data to have none").At("%s", field)
	}
	return nil
}

func checkText(s string, required bool, limit int, field string) error {
	switch {
	case s == "" && required:
		return belfry.Errorf(belfry.Invalid, "must not be empty").At("%s", field)
	case len(s) > limit:
		return belfry.Beyond(field, limit, "bytes")
	}
	return belfry.ValidateText(s, field)
}
