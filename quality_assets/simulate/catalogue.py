"""The fixed world: names of product features with team and owner, platforms, countries, devices, event names.

Constants and pure look-ups only. Anything drawn at random (rates, latencies, releases) lives in `profile`.
"""

from dataclasses import dataclass
from itertools import islice

OWNERS_BY_TEAM: dict[str, tuple[str, str]] = {
    "Discovery": ("ines.moreau@example.com", "tariq.aziz@example.com"),
    "Payments": ("nadia.kowalski@example.com", "luis.ferreira@example.com"),
    "Messaging": ("jonas.weber@example.com", "amara.okafor@example.com"),
    "Media": ("yuki.tanaka@example.com", "chloe.dubois@example.com"),
    "Commerce": ("priya.raman@example.com", "marco.rossi@example.com"),
    "Account": ("sofia.lindqvist@example.com", "daniel.mensah@example.com"),
    "Places": ("elif.demir@example.com", "owen.hughes@example.com"),
    "Growth": ("camila.torres@example.com", "viktor.novak@example.com"),
}

_NAMED: tuple[tuple[str, str], ...] = (
    ("Search", "Discovery"),
    ("Home feed", "Discovery"),
    ("One-tap pay", "Payments"),
    ("Live comments", "Messaging"),
    ("Save, share and print", "Growth"),
    ("Café finder", "Places"),
    ("Visual search", "Discovery"),
    ("Shopping basket", "Commerce"),
    ("Sign-in", "Account"),
    ("Direct messages", "Messaging"),
    ("Video player", "Media"),
    ("Order tracking", "Commerce"),
    ("Push notifications", "Growth"),
    ("Photo upload", "Media"),
    ('Ask "Nova"', "Discovery"),
    ("Store locator", "Places"),
    ("Wish list", "Commerce"),
    ("Group chat", "Messaging"),
    ("Saved cards", "Payments"),
    ("Recommendations", "Discovery"),
    ("Profile page", "Account"),
    ("Offline mode", "Media"),
    ("Turn-by-turn route", "Places"),
    ("Gift cards", "Payments"),
    ("Product reviews", "Commerce"),
    ("Stories", "Media"),
    ("Price alerts", "Commerce"),
    ("Voice search", "Discovery"),
    ("Face unlock", "Account"),
    ("Invite a friend", "Growth"),
    ("Video calls", "Messaging"),
    ("Split the bill", "Payments"),
    ("Playlists", "Media"),
    ("Live traffic", "Places"),
    ("Size guide", "Commerce"),
    ("Two-step sign-in", "Account"),
    ("Daily streak", "Growth"),
    ("Subtitles", "Media"),
    ("Barcode scanner", "Discovery"),
    ("Instant refunds", "Payments"),
    ("Read receipts", "Messaging"),
    ("Table booking", "Places"),
    ("Compare products", "Commerce"),
    ("Parental controls", "Account"),
    ("Referral rewards", "Growth"),
    ("Picture in picture", "Media"),
    ("Trending topics", "Discovery"),
    ("Voice notes", "Messaging"),
    ("Subscription plans", "Payments"),
    ("Indoor maps", "Places"),
    ("Back in stock", "Commerce"),
    ("Data export", "Account"),
    ("Onboarding tour", "Growth"),
    ("Download manager", "Media"),
    ("Smart filters", "Discovery"),
    ("Message translation", "Messaging"),
    ("Tax invoices", "Payments"),
    ("Parking finder", "Places"),
    ("Bundle builder", "Commerce"),
    ("Dark theme", "Account"),
)

_QUALIFIERS: tuple[str, ...] = (
    "Express", "Shared", "Smart", "Family", "Team", "Weekly", "Local", "Premium", "Guest", "Quick",
    "Scheduled", "Private", "Public", "Nearby", "Personal", "Seasonal", "Classic", "Mobile", "Desktop",
    "Student", "Business", "Creator", "Partner", "Travel", "Health", "School", "Festival", "Holiday",
    "Night", "Morning", "Compact", "Extended", "Guided", "Hands-free", "Multi-language", "Cross-device",
    "Early-access", "Archived", "Automatic", "Collaborative",
)  # fmt: skip

_SUBJECTS: tuple[tuple[str, str], ...] = tuple(
    (subject, team)
    for team, subjects in {
        "Discovery": ("lookup", "suggestions", "collections", "topics", "rankings", "highlights", "presets"),
        "Payments": ("checkout", "wallet", "receipts", "payouts", "invoices", "discounts", "deposits"),
        "Messaging": ("threads", "mentions", "reactions", "broadcasts", "inbox", "polls", "replies"),
        "Media": ("clips", "albums", "channels", "captions", "podcasts", "editor", "gallery"),
        "Commerce": ("basket", "catalogue", "returns", "offers", "reorders", "auctions", "samples"),
        "Account": ("settings", "devices", "permissions", "backups", "passkeys", "consents", "roles"),
        "Places": ("maps", "bookings", "routes", "check-ins", "guides", "deliveries", "lockers"),
        "Growth": ("rewards", "challenges", "reminders", "badges", "surveys", "digests", "quests"),
    }.items()
    for subject in subjects
)

MAX_FEATURES = len(_NAMED) + len(_QUALIFIERS) * len(_SUBJECTS)

PLATFORMS: tuple[str, ...] = ("iOS", "Android", "Web")
PLATFORM_SHARES: tuple[float, ...] = (0.36, 0.42, 0.22)
PLATFORM_LATENCY_FACTORS: tuple[float, ...] = (0.88, 1.12, 1.0)
PLATFORM_CRASH_FACTORS: tuple[float, ...] = (0.8, 1.3, 0.5)

DEVICE_TYPES: tuple[str, ...] = ("phone", "tablet", "desktop")
TABLET_SHARE_OF_APPS = 0.14
PHONE_SHARE_OF_WEB = 0.3

EVENT_NAME_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("use", "open", "complete", "cancel"),
    ("view", "tap", "share", "save"),
    ("start", "step", "finish", "abandon"),
    ("request", "select", "refine", "dismiss"),
)
EVENT_NAME_SHARES: tuple[float, ...] = (0.5, 0.28, 0.16, 0.06)

PROPERTIES: tuple[str | None, ...] = (
    None,
    *(f'{{"screen":"{screen}"}}' for screen in ("home", "detail", "list", "settings", "deep_link")),
    *(f'{{"items":{items},"currency":"{currency}"}}' for items in (1, 2, 5) for currency in ("EUR", "USD", "INR")),
    *(f'{{"retry":{retry}}}' for retry in (1, 2, 3)),
    *(f'{{"network":"{network}","battery_pct":{pct}}}' for network, pct in (("wifi", 80), ("4g", 35), ("5g", 62))),
    '{"query":"running shoes, blue"}',
    '{"query":"Kaffee für zwei"}',
    '{"from_push":true}',
)


@dataclass(frozen=True)
class Country:
    """A country: ISO 3166 code, share of users, hours its clock is ahead of UTC, network latency factor."""

    code: str
    share: float
    utc_offset_h: float
    latency_factor: float


COUNTRIES: tuple[Country, ...] = (
    Country("US", 0.24, -6, 0.95),
    Country("IN", 0.16, 5.5, 1.3),
    Country("DE", 0.11, 1, 0.85),
    Country("BR", 0.1, -3, 1.2),
    Country("GB", 0.08, 0, 0.88),
    Country("FR", 0.07, 1, 0.9),
    Country("JP", 0.07, 9, 0.95),
    Country("MX", 0.05, -6, 1.15),
    Country("NG", 0.04, 1, 1.4),
    Country("ES", 0.04, 1, 0.95),
    Country("AU", 0.02, 10, 1.1),
    Country("SE", 0.02, 1, 0.82),
)
COUNTRY_CODES: tuple[str, ...] = tuple(country.code for country in COUNTRIES)

# Relative use by hour of local time: quiet nights, a lunch bump, a long evening peak.
HOURLY_USE: tuple[float, ...] = (
    0.35, 0.22, 0.15, 0.12, 0.13, 0.22, 0.45, 0.75, 0.95, 1.0, 1.02, 1.08,
    1.22, 1.15, 1.0, 0.98, 1.02, 1.15, 1.32, 1.5, 1.62, 1.5, 1.15, 0.7,
)  # fmt: skip


@dataclass(frozen=True)
class ProductFeature:
    """A product feature as the company knows it; `index` is its rank by use (0 = most used)."""

    index: int
    name: str
    team: str
    owner: str


def product_features(count: int) -> tuple[ProductFeature, ...]:
    """Return the first `count` product features; names are distinct and do not depend on `count`."""
    if not 1 <= count <= MAX_FEATURES:
        raise ValueError(f"count must be 1 to {MAX_FEATURES}, not {count}")
    composed = ((f"{qualifier} {subject}", team) for qualifier in _QUALIFIERS for subject, team in _SUBJECTS)
    named = (*_NAMED, *islice(composed, max(0, count - len(_NAMED))))[:count]
    return tuple(
        ProductFeature(index, name, team, OWNERS_BY_TEAM[team][index % 2]) for index, (name, team) in enumerate(named)
    )


def event_name_family(feature_index: int) -> int:
    """Return which of `EVENT_NAME_FAMILIES` a product feature's events are named after."""
    return feature_index % len(EVENT_NAME_FAMILIES)
