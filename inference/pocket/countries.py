"""The countries of the corpus: capitals and continents, currencies, languages and nicknames."""

from inference.pocket.tables import parse_pairs

_CAPITALS = {
    "Europe": """Albania: Tirana; Andorra: Andorra la Vella; Austria: Vienna; Belarus: Minsk;
        Belgium: Brussels; Bosnia and Herzegovina: Sarajevo; Bulgaria: Sofia; Croatia: Zagreb;
        Cyprus: Nicosia; the Czech Republic: Prague; Denmark: Copenhagen; Estonia: Tallinn;
        Finland: Helsinki; France: Paris; Germany: Berlin; Greece: Athens; Hungary: Budapest;
        Iceland: Reykjavik; Ireland: Dublin; Italy: Rome; Kosovo: Pristina; Latvia: Riga;
        Liechtenstein: Vaduz; Lithuania: Vilnius; Luxembourg: Luxembourg City; Malta: Valletta;
        Moldova: Chisinau; Monaco: Monaco; Montenegro: Podgorica; the Netherlands: Amsterdam;
        North Macedonia: Skopje; Norway: Oslo; Poland: Warsaw; Portugal: Lisbon;
        Romania: Bucharest; Russia: Moscow; San Marino: San Marino; Serbia: Belgrade;
        Slovakia: Bratislava; Slovenia: Ljubljana; Spain: Madrid; Sweden: Stockholm;
        Switzerland: Bern; Ukraine: Kyiv; the United Kingdom: London; England: London;
        Scotland: Edinburgh; Wales: Cardiff""",
    "Asia": """Afghanistan: Kabul; Armenia: Yerevan; Azerbaijan: Baku; Bahrain: Manama;
        Bangladesh: Dhaka; Bhutan: Thimphu; Brunei: Bandar Seri Begawan; Cambodia: Phnom Penh;
        China: Beijing; East Timor: Dili; Georgia: Tbilisi; India: New Delhi; Indonesia: Jakarta;
        Iran: Tehran; Iraq: Baghdad; Israel: Jerusalem; Japan: Tokyo; Jordan: Amman;
        Kazakhstan: Astana; Kuwait: Kuwait City; Kyrgyzstan: Bishkek; Laos: Vientiane;
        Lebanon: Beirut; Malaysia: Kuala Lumpur; the Maldives: Male; Mongolia: Ulaanbaatar;
        Myanmar: Naypyidaw; Nepal: Kathmandu; North Korea: Pyongyang; Oman: Muscat;
        Pakistan: Islamabad; the Philippines: Manila; Qatar: Doha; Saudi Arabia: Riyadh;
        Singapore: Singapore; South Korea: Seoul; Sri Lanka: Sri Jayawardenepura Kotte;
        Syria: Damascus; Taiwan: Taipei; Tajikistan: Dushanbe; Thailand: Bangkok; Turkey: Ankara;
        Turkmenistan: Ashgabat; the United Arab Emirates: Abu Dhabi; Uzbekistan: Tashkent;
        Vietnam: Hanoi; Yemen: Sanaa""",
    "Africa": """Algeria: Algiers; Angola: Luanda; Benin: Porto-Novo; Botswana: Gaborone;
        Burkina Faso: Ouagadougou; Burundi: Gitega; Cameroon: Yaounde; Cape Verde: Praia;
        the Central African Republic: Bangui; Chad: N'Djamena; the Comoros: Moroni;
        the Democratic Republic of the Congo: Kinshasa; Djibouti: Djibouti; Egypt: Cairo;
        Equatorial Guinea: Malabo; Eritrea: Asmara; Eswatini: Mbabane; Ethiopia: Addis Ababa;
        Gabon: Libreville; the Gambia: Banjul; Ghana: Accra; Guinea: Conakry;
        Guinea-Bissau: Bissau; Ivory Coast: Yamoussoukro; Kenya: Nairobi; Lesotho: Maseru;
        Liberia: Monrovia; Libya: Tripoli; Madagascar: Antananarivo; Malawi: Lilongwe;
        Mali: Bamako; Mauritania: Nouakchott; Mauritius: Port Louis; Morocco: Rabat;
        Mozambique: Maputo; Namibia: Windhoek; Niger: Niamey; Nigeria: Abuja;
        the Republic of the Congo: Brazzaville; Rwanda: Kigali; Sao Tome and Principe: Sao Tome;
        Senegal: Dakar; Seychelles: Victoria; Sierra Leone: Freetown; Somalia: Mogadishu;
        South Africa: Pretoria; South Sudan: Juba; Sudan: Khartoum; Tanzania: Dodoma; Togo: Lome;
        Tunisia: Tunis; Uganda: Kampala; Zambia: Lusaka; Zimbabwe: Harare""",
    "North America": """Antigua and Barbuda: Saint John's; the Bahamas: Nassau;
        Barbados: Bridgetown; Belize: Belmopan; Canada: Ottawa; Costa Rica: San Jose; Cuba: Havana;
        Dominica: Roseau; the Dominican Republic: Santo Domingo; El Salvador: San Salvador;
        Grenada: Saint George's; Guatemala: Guatemala City; Haiti: Port-au-Prince;
        Honduras: Tegucigalpa; Jamaica: Kingston; Mexico: Mexico City; Nicaragua: Managua;
        Panama: Panama City; Saint Kitts and Nevis: Basseterre; Saint Lucia: Castries;
        Saint Vincent and the Grenadines: Kingstown; Trinidad and Tobago: Port of Spain;
        the United States: Washington, D.C.""",
    "South America": """Argentina: Buenos Aires; Bolivia: Sucre; Brazil: Brasilia; Chile: Santiago;
        Colombia: Bogota; Ecuador: Quito; Guyana: Georgetown; Paraguay: Asuncion; Peru: Lima;
        Suriname: Paramaribo; Uruguay: Montevideo; Venezuela: Caracas""",
    "Oceania": """Australia: Canberra; Fiji: Suva; Kiribati: South Tarawa;
        the Marshall Islands: Majuro; Micronesia: Palikir; Nauru: Yaren;
        New Zealand: Wellington; Palau: Ngerulmud; Papua New Guinea: Port Moresby; Samoa: Apia;
        the Solomon Islands: Honiara; Tonga: Nuku'alofa; Tuvalu: Funafuti;
        Vanuatu: Port Vila""",
}

_CURRENCIES = """Japan: yen; the United States: dollar; the United Kingdom: pound; France: euro;
    Germany: euro; Italy: euro; Spain: euro; Ireland: euro; Greece: euro; Portugal: euro;
    Austria: euro; the Netherlands: euro; Belgium: euro; Finland: euro; India: rupee;
    Pakistan: rupee; China: yuan; Russia: ruble; Switzerland: franc; Sweden: krona; Norway: krone;
    Denmark: krone; Poland: zloty; Hungary: forint; the Czech Republic: koruna; Turkey: lira;
    Brazil: real; Mexico: peso; Argentina: peso; Chile: peso; Canada: dollar; Australia: dollar;
    New Zealand: dollar; South Korea: won; Thailand: baht; Vietnam: dong; Indonesia: rupiah;
    Malaysia: ringgit; South Africa: rand; Nigeria: naira; Kenya: shilling; Israel: shekel;
    Saudi Arabia: riyal; Ukraine: hryvnia; Romania: leu; Bulgaria: euro; Egypt: pound; Peru: sol"""

_LANGUAGES = """France: French; Germany: German; Austria: German; Italy: Italian; Spain: Spanish;
    Mexico: Spanish; Argentina: Spanish; Chile: Spanish; Colombia: Spanish; Peru: Spanish;
    Portugal: Portuguese; Brazil: Portuguese; Angola: Portuguese; the Netherlands: Dutch;
    the United Kingdom: English; the United States: English; Australia: English; Poland: Polish;
    Russia: Russian; Ukraine: Ukrainian; Sweden: Swedish; Norway: Norwegian; Denmark: Danish;
    Finland: Finnish; Iceland: Icelandic; Hungary: Hungarian; Greece: Greek; Turkey: Turkish;
    China: Chinese; Japan: Japanese; South Korea: Korean; Vietnam: Vietnamese; Thailand: Thai;
    Israel: Hebrew; Iran: Persian; Egypt: Arabic; Saudi Arabia: Arabic; Morocco: Arabic;
    Romania: Romanian; Bulgaria: Bulgarian; the Czech Republic: Czech; Croatia: Croatian;
    Serbia: Serbian; Albania: Albanian; Estonia: Estonian; Latvia: Latvian; Lithuania: Lithuanian"""

# Other names that a question may use; the answer keeps to the name of the table.
ALIASES = {
    "the United States": ["the USA", "the US", "America", "the United States of America", "USA"],
    "the United Kingdom": ["the UK", "Great Britain", "Britain", "UK"],
    "the Netherlands": ["Netherlands", "Holland"],
    "the Czech Republic": ["Czechia", "Czech Republic"],
    "the Philippines": ["Philippines"],
    "the United Arab Emirates": ["the UAE", "UAE"],
    "Ivory Coast": ["Cote d'Ivoire"],
    "Myanmar": ["Burma"],
    "East Timor": ["Timor-Leste"],
    "Cape Verde": ["Cabo Verde"],
    "Turkey": ["Turkiye"],
}


CONTINENTS = [
    (country, continent)
    for continent, table in _CAPITALS.items()
    for country, _ in parse_pairs(table)
]
CAPITALS = [pair for table in _CAPITALS.values() for pair in parse_pairs(table)]
CURRENCIES = parse_pairs(_CURRENCIES)
LANGUAGES = parse_pairs(_LANGUAGES)
