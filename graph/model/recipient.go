package model

import (
	"strconv"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
)

// NewUser makes the API's form of a user.
func NewUser(u *recipient.Known) *User {
	user := &User{
		ID:         globalID(UserTag, strconv.FormatInt(int64(u.ID), 10)),
		ExternalID: u.ExternalID,
		Properties: make(map[string]any, len(u.Properties)),
		CreatedAt:  u.CreatedAt(),
		UpdatedAt:  u.UpdatedAt,
	}
	fields := map[string]**string{"name": &user.Name, "email": &user.Email, "phone_number": &user.PhoneNumber,
		"avatar": &user.Avatar, "locale": &user.Locale, "timezone": &user.Timezone}
	for k, v := range u.Properties {
		if field, ok := fields[k]; !ok {
			user.Properties[k] = v
		} else if s, ok := v.(string); ok {
			*field = &s
		}
	}
	return user
}

// Identity is what the input says about a user.
func (in *IdentifyUserInput) Identity() *recipient.Identity {
	properties := make(map[string]any, len(in.Properties)+6)
	for k, v := range in.Properties {
		properties[k] = v
	}
	set := func(name string, v *string, given bool) {
		if !given {
			return
		}
		properties[name] = nil
		if v != nil {
			properties[name] = *v
		}
	}
	name, ok := in.Name.ValueOK()
	set("name", name, ok)
	email, ok := in.Email.ValueOK()
	set("email", email, ok)
	phone, ok := in.PhoneNumber.ValueOK()
	set("phone_number", phone, ok)
	avatar, ok := in.Avatar.ValueOK()
	set("avatar", avatar, ok)
	locale, ok := in.Locale.ValueOK()
	set("locale", locale, ok)
	timezone, ok := in.Timezone.ValueOK()
	set("timezone", timezone, ok)
	return &recipient.Identity{RecipientRef: belfry.User(in.ID), Properties: properties}
}

// Party is whom the input names; field names it for errors.
func (in *RecipientInput) Party(field string) (engine.Party, error) {
	switch {
	case in.User != nil && in.Identify == nil:
		return engine.Party{Ref: belfry.User(*in.User)}, nil
	case in.Identify != nil && in.User == nil:
		identity := in.Identify.Identity()
		return engine.Party{Ref: identity.RecipientRef, Identify: identity}, nil
	}
	return engine.Party{}, belfry.Errorf(belfry.Invalid, "give exactly one of user and identify").At("%s", field)
}
