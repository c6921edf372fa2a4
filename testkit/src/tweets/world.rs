//! What the generated posts are made of: cities and other places, languages with phrases, hashtags,
//! smiles, rules. Data only. Names of places are real, all people and posts are made up.

/// A place as X names it.
pub(super) struct Place {
    pub(super) full_name: &'static str,
    pub(super) country: &'static str,
    pub(super) code: &'static str,
    /// `city`, `admin`, `country` or `poi`.
    pub(super) kind: &'static str,
    /// How much is posted there, relative to the others.
    pub(super) weight: u32,
}

const fn city(full_name: &'static str, country: &'static str, code: &'static str, weight: u32) -> Place {
    Place { full_name, country, code, kind: "city", weight }
}

const fn other(
    kind: &'static str,
    full_name: &'static str,
    country: &'static str,
    code: &'static str,
    weight: u32,
) -> Place {
    Place { full_name, country, code, kind, weight }
}

/// Cities carry about 85 % of the weight.
pub(super) const PLACES: &[Place] = &[
    city("Tokyo, Japan", "Japan", "JP", 95),
    city("São Paulo, Brazil", "Brazil", "BR", 82),
    city("Jakarta, Indonesia", "Indonesia", "ID", 78),
    city("Manhattan, NY", "United States", "US", 74),
    city("London, England", "United Kingdom", "GB", 70),
    city("Los Angeles, CA", "United States", "US", 66),
    city("Istanbul, Türkiye", "Türkiye", "TR", 58),
    city("Rio de Janeiro, Brazil", "Brazil", "BR", 55),
    city("Riyadh, Kingdom of Saudi Arabia", "Saudi Arabia", "SA", 52),
    city("Osaka, Japan", "Japan", "JP", 46),
    city("Chicago, IL", "United States", "US", 42),
    city("Houston, TX", "United States", "US", 38),
    city("Mexico City, Mexico", "Mexico", "MX", 37),
    city("Buenos Aires, Argentina", "Argentina", "AR", 35),
    city("Madrid, Spain", "Spain", "ES", 33),
    city("Paris, France", "France", "FR", 32),
    city("Mumbai, India", "India", "IN", 31),
    city("Bogotá, Colombia", "Colombia", "CO", 29),
    city("Lagos, Nigeria", "Nigeria", "NG", 28),
    city("Toronto, Ontario", "Canada", "CA", 27),
    city("Seoul, Republic of Korea", "Republic of Korea", "KR", 26),
    city("Bangkok, Thailand", "Thailand", "TH", 25),
    city("Quezon City, Philippines", "Philippines", "PH", 24),
    city("Atlanta, GA", "United States", "US", 23),
    city("Santiago, Chile", "Chile", "CL", 21),
    city("Barcelona, Spain", "Spain", "ES", 20),
    city("Cairo, Egypt", "Egypt", "EG", 19),
    city("Kuala Lumpur, Malaysia", "Malaysia", "MY", 18),
    city("Philadelphia, PA", "United States", "US", 17),
    city("Johannesburg, South Africa", "South Africa", "ZA", 16),
    city("Ankara, Türkiye", "Türkiye", "TR", 15),
    city("Manchester, England", "United Kingdom", "GB", 14),
    city("Berlin, Germany", "Germany", "DE", 13),
    city("Lima, Peru", "Peru", "PE", 12),
    city("Sydney, New South Wales", "Australia", "AU", 11),
    city("Nairobi, Kenya", "Kenya", "KE", 10),
    city("Rome, Lazio", "Italy", "IT", 9),
    city("Amsterdam, The Netherlands", "The Netherlands", "NL", 8),
    city("Dublin City, Ireland", "Ireland", "IE", 6),
    city("Stockholm, Sweden", "Sweden", "SE", 5),
    city("Auckland, New Zealand", "New Zealand", "NZ", 4),
    city("Reykjavík, Iceland", "Iceland", "IS", 2),
    other("admin", "Texas, USA", "United States", "US", 38),
    other("admin", "Kanagawa, Japan", "Japan", "JP", 30),
    other("admin", "Andalucía, Spain", "Spain", "ES", 18),
    other("admin", "Chicago, IL", "United States", "US", 6),
    other("country", "Brazil", "Brazil", "BR", 28),
    other("country", "United Kingdom", "United Kingdom", "GB", 22),
    other("country", "Nigeria", "Nigeria", "NG", 12),
    other("poi", "Shibuya Crossing", "Japan", "JP", 22),
    other("poi", "Estádio do Maracanã", "Brazil", "BR", 16),
    other("poi", "King's Cross \"Harry's\" Corner", "United Kingdom", "GB", 8),
    other("neighborhood", "Williamsburg, Brooklyn", "United States", "US", 12),
];

/// A language, how often it is used, and phrases in it.
pub(super) struct Language {
    pub(super) code: &'static str,
    pub(super) weight: u32,
    pub(super) phrases: &'static [&'static str],
}

pub(super) const LANGUAGES: &[Language] = &[
    Language { code: "en", weight: 34, phrases: ENGLISH },
    Language { code: "ja", weight: 17, phrases: JAPANESE },
    Language { code: "es", weight: 12, phrases: SPANISH },
    Language { code: "pt", weight: 9, phrases: PORTUGUESE },
    Language { code: "ar", weight: 7, phrases: ARABIC },
    Language { code: "in", weight: 6, phrases: INDONESIAN },
    Language { code: "tr", weight: 5, phrases: TURKISH },
    Language { code: "ko", weight: 4, phrases: KOREAN },
    Language { code: "fr", weight: 3, phrases: FRENCH },
    Language { code: "de", weight: 2, phrases: GERMAN },
    Language { code: "und", weight: 1, phrases: &["…", "🔥🔥🔥", "👀"] },
];

const ENGLISH: &[&str] = &[
    "Coffee first, everything else after.",
    "The bridge is closed again, take the ferry.",
    "What a match! Two goals in the last five minutes.",
    "Does anyone know a good place for noodles near the station?",
    "Reading the minutes of a meeting I missed & regretting nothing.",
    "My train is late. My patience is later.",
    "She said \"we'll see\" and that was that.",
    "New record on the morning run: 5 km in 24:10",
    "It's raining sideways out here",
    "The library opens at nine, the queue starts at eight",
    "Can't believe it's November already",
    "Thread: how we moved 40 TB without telling anyone\n1/",
    "If the kettle whistles twice, it is an omen.",
    "Happy birthday to the best sister in the world",
    "This update broke my keyboard shortcuts. Again.",
    "Sunset over the harbour tonight was something else.",
    "I have opinions about parsley and nobody asks.",
    "Last call for papers! Deadline is Friday.",
];
const JAPANESE: &[&str] = &[
    "おはようございます。今日もいい天気ですね。",
    "電車がまた遅れている…",
    "ラーメン食べたい",
    "新しい曲、何回も聴いてしまう。",
    "仕事終わり!帰ります",
    "桜がもう咲いていた",
];
const SPANISH: &[&str] = &[
    "¡Qué partido, por favor!",
    "Buenos días, mundo.",
    "¿Alguien sabe si el metro funciona hoy?",
    "Mañana será otro día.",
    "No puedo con tanto calor",
    "El mejor café del barrio, sin duda.",
];
const PORTUGUESE: &[&str] = &[
    "Bom dia, gente!",
    "Que jogo foi esse?!",
    "Não acredito que já é segunda-feira",
    "A chuva não para aqui",
    "Saudade do mar e do pão de queijo.",
];
const ARABIC: &[&str] = &["صباح الخير", "الجو جميل اليوم", "مبروك للجميع على الفوز", "هل من أخبار جديدة؟"];
const INDONESIAN: &[&str] = &[
    "Selamat pagi semuanya",
    "Macet banget hari ini",
    "Ada yang tahu warung enak dekat sini?",
    "Hujan lagi, kopi lagi.",
];
const TURKISH: &[&str] = &["Günaydın İstanbul", "Bu trafik bitmez", "Çay var mı?", "Maç ne zaman başlıyor?"];
const KOREAN: &[&str] = &["오늘도 화이팅", "비가 오네요", "커피 한 잔 마시고 싶다", "새 앨범 너무 좋아"];
const FRENCH: &[&str] = &[
    "Quelle journée !",
    "Encore une grève à la gare…",
    "Le pain sent si bon ce matin",
    "Ça y est, c'est fini.",
];
const GERMAN: &[&str] =
    &["Der Zug fällt heute aus.", "Schöne Grüße aus dem Büro", "Was für ein Spiel!", "Über den Wolken"];

/// Hashtags, most used first.
pub(super) const HASHTAGS: &[&str] = &[
    "NowPlaying",
    "breaking",
    "love",
    "BTS",
    "WorldCup",
    "music",
    "Bitcoin",
    "art",
    "food",
    "travel",
    "cat",
    "写真",
    "football",
    "AI",
    "news",
    "weather",
    "NFL",
    "photography",
    "gaming",
    "climate",
    "sunset",
    "Eurovision",
    "coffee",
    "dog",
    "猫",
    "Election",
    "fitness",
    "books",
    "JavaScript",
    "Rust",
    "fashion",
    "movie",
    "anime",
    "science",
    "Fútbol",
    "garden",
    "F1",
    "running",
    "startup",
    "space",
    "history",
    "poetry",
    "jazz",
    "chess",
    "bread",
    "cycling",
    "ocean",
    "linux",
    "maps",
    "tea",
];

/// What counts as a smile, as text and as emoji.
pub(super) const SMILES: &[&str] =
    &[":)", "\u{1F600}", "\u{1F605}", "\u{1F606}", "\u{1F607}", "\u{1F60E}", "\u{1F642}"];

/// Emoji that are no smiles.
pub(super) const OTHER_EMOJI: &[&str] =
    &["\u{1F62D}", "\u{1F525}", "\u{2764}\u{FE0F}", "\u{1F44D}\u{1F3FB}", "\u{1F64F}", "\u{1F1EF}\u{1F1F5}"];

/// Rules of the stream: id and tag; one has no tag.
pub(super) const RULES: &[(&str, Option<&str>)] = &[
    ("1400000000000000001", Some("cities")),
    ("1400000000000000002", Some("smiles")),
    ("1400000000000000003", Some("breaking news")),
    ("1400000000000000004", None),
    ("1400000000000000005", Some("Company \"A & B\"")),
];

/// Topics that X annotates posts with: domain, entity.
pub(super) const ANNOTATIONS: &[(&str, &str)] = &[
    ("Interests and Hobbies Vertical", "Food"),
    ("Interests and Hobbies Category", "Coffee"),
    ("Sports Event", "Cup final"),
    ("Music Genre", "Jazz"),
    ("Brand Category", "Rail transport"),
    ("Unified Twitter Taxonomy", "Weather"),
];
