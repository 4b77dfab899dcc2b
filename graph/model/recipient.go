package model

import (
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
)

// NewUser makes the API's form of a user.
func NewUser(u *recipient.Known) *User {
	user := &User{ID: recipientID(UserTag, u), ExternalID: u.ExternalID, CreatedAt: u.CreatedAt(), UpdatedAt: u.UpdatedAt}
	user.Properties = apart(u.Properties, map[string]**string{"name": &user.Name, "email": &user.Email, "phone_number": &user.PhoneNumber,
		"avatar": &user.Avatar, "locale": &user.Locale, "timezone": &user.Timezone})
	return user
}

// NewStranger makes the form of a user that other users see.
func NewStranger(u *recipient.Known) *User {
	user := NewUser(u)
	return &User{ID: user.ID, ExternalID: user.ExternalID, Name: user.Name, Avatar: user.Avatar, Properties: map[string]any{},
		CreatedAt: u.IdentifiedAt, UpdatedAt: u.IdentifiedAt}
}

// NewObject makes the API's form of an object.
func NewObject(o *recipient.Known) *Object {
	object := &Object{ID: recipientID(ObjectTag, o), Collection: o.Collection, ExternalID: o.ExternalID, CreatedAt: o.CreatedAt(), UpdatedAt: o.UpdatedAt}
	object.Properties = apart(o.Properties, map[string]**string{"name": &object.Name})
	return object
}

// NewTenant makes the API's form of a tenant.
func NewTenant(t *recipient.Known) *Tenant {
	b := recipient.BrandingOf(t.Properties)
	tenant := &Tenant{ID: recipientID(TenantTag, t), ExternalID: t.ExternalID, CreatedAt: t.CreatedAt(), UpdatedAt: t.UpdatedAt, Branding: Branding{
		LogoURL: optional(b.LogoURL), IconURL: optional(b.IconURL), DarkLogoURL: optional(b.DarkLogoURL), DarkIconURL: optional(b.DarkIconURL),
		PrimaryColor: b.PrimaryColor, PrimaryColorContrast: b.PrimaryColorContrast,
		DarkPrimaryColor: b.DarkPrimaryColor, DarkPrimaryColorContrast: b.DarkPrimaryColorContrast,
	}}
	tenant.Properties = apart(t.Properties, map[string]**string{"name": &tenant.Name})
	return tenant
}

// NewRecipient makes the API's form of a user, object or tenant.
func NewRecipient(k *recipient.Known) Recipient {
	switch k.Collection {
	case belfry.Users:
		return NewUser(k)
	case belfry.Tenants:
		return NewTenant(k)
	}
	return NewObject(k)
}

func recipientID(tag string, k *recipient.Known) string {
	return globalID(tag, strconv.FormatInt(int64(k.ID), 10))
}

// ParseRecipientID reads the key of a recipient's global id; false for what is none.
func ParseRecipientID(id string) (belfry.RecipientID, bool) {
	tag, key, ok := ParseID(id)
	if !ok || tag != UserTag && tag != ObjectTag && tag != TenantTag {
		return 0, false
	}
	n, err := strconv.ParseInt(key, 10, 64)
	return belfry.RecipientID(n), err == nil
}

// apart moves properties that have a field of their own there, and returns the others.
func apart(properties map[string]any, fields map[string]**string) map[string]any {
	rest := make(map[string]any, len(properties))
	for k, v := range properties {
		if field, ok := fields[k]; ok {
			if s, ok := v.(string); ok {
				*field = &s
			}
		} else if k != "created_at" {
			rest[k] = v
		}
	}
	return rest
}

// identity is what inputs say: properties, and beside them what has a field of its own. Null clears, absent keeps.
func identity(ref belfry.RecipientRef, properties map[string]any, unset []string, created graphql.Omittable[*time.Time], fields map[string]graphql.Omittable[*string]) *recipient.Identity {
	all := make(map[string]any, len(properties)+len(fields)+1)
	for k, v := range properties {
		all[k] = v
	}
	setGiven(all, fields)
	if at, given := created.ValueOK(); given {
		all["created_at"] = nil
		if at != nil {
			all["created_at"] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	return &recipient.Identity{RecipientRef: ref, Properties: all, Unset: unset}
}

func setGiven(into map[string]any, fields map[string]graphql.Omittable[*string]) {
	for name, field := range fields {
		v, given := field.ValueOK()
		switch {
		case given && v == nil:
			into[name] = nil
		case given:
			into[name] = *v
		}
	}
}

// Identity is what the input says about a user.
func (in *IdentifyUserInput) Identity() *recipient.Identity {
	out := identity(belfry.User(in.ID), in.Properties, in.Unset, in.CreatedAt, map[string]graphql.Omittable[*string]{"name": in.Name,
		"email": in.Email, "phone_number": in.PhoneNumber, "avatar": in.Avatar, "locale": in.Locale, "timezone": in.Timezone})
	out.Preferences, out.Repeated = contents(in.Preferences)
	return out
}

// Identity is what the input says about an object; field names it for errors.
func (in *UpsertObjectInput) Identity(field string) (*recipient.Identity, error) {
	ref, err := (&ObjectRefInput{Collection: in.Collection, ID: in.ID}).Ref(field)
	return identity(ref, in.Properties, in.Unset, in.CreatedAt, map[string]graphql.Omittable[*string]{"name": in.Name}), err
}

// Identity is what the input says about a tenant.
func (in *UpsertTenantInput) Identity() *recipient.Identity {
	out := identity(TenantRef(in.ID), in.Properties, in.Unset, in.CreatedAt, map[string]graphql.Omittable[*string]{"name": in.Name})
	if b := in.Branding; b != nil {
		branding := map[string]any{}
		setGiven(branding, map[string]graphql.Omittable[*string]{"logo_url": b.LogoURL, "icon_url": b.IconURL, "dark_logo_url": b.DarkLogoURL,
			"dark_icon_url": b.DarkIconURL, "primary_color": b.PrimaryColor, "primary_color_contrast": b.PrimaryColorContrast,
			"dark_primary_color": b.DarkPrimaryColor, "dark_primary_color_contrast": b.DarkPrimaryColorContrast})
		out.Properties = recipient.Overlay(out.Properties, map[string]any{"settings": map[string]any{"branding": branding}})
	}
	return out
}

// TenantRef refers to a tenant by the customer's id.
func TenantRef(id string) belfry.RecipientRef {
	return belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: id}
}

// Ref is whom the input names; field names it for errors. With a user token, user is that user, who is meant if nobody is
// named; otherwise it is empty.
func (in *RecipientRefInput) Ref(user, field string) (belfry.RecipientRef, error) {
	if in == nil {
		in = &RecipientRefInput{}
	}
	named := 0
	for _, given := range []bool{in.User != nil, in.Object != nil, in.Tenant != nil} {
		if given {
			named++
		}
	}
	switch {
	case user != "" && (named == 0 || named == 1 && in.User != nil && *in.User == user):
		return belfry.User(user), nil
	case user != "":
		return belfry.RecipientRef{}, belfry.Errorf(belfry.Forbidden, "a user token speaks for that user alone").At("%s", field)
	case named != 1:
		return belfry.RecipientRef{}, belfry.Errorf(belfry.Invalid, "give exactly one of user, object and tenant").At("%s", field)
	case in.User != nil:
		return belfry.User(*in.User), nil
	case in.Tenant != nil:
		return TenantRef(*in.Tenant), nil
	}
	return in.Object.Ref(field + ".object")
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
