"""Words of which tools, requests and values are put together at random."""

from inference.pocket.tables import words

VERBS = words(
    """
    get find search create delete update list send check convert count open close start stop read
    write book cancel move copy print show load save rename archive approve reject assign merge
    validate export import fetch remove register schedule order pay refund lock unlock share
    publish review
    """
)
NOUNS = words(
    """
    invoice order ticket user account report file folder document message email note task project
    meeting room flight hotel product price payment customer contact address photo video song
    playlist recipe book page article comment post tag label branch commit issue server device
    sensor lamp door window car bike train bus route map package shipment warehouse item stock
    contract lease employee salary team course lesson exam student teacher patient doctor
    prescription appointment alarm timer event calendar reminder subscription license key token
    session record entry table chart graph image backup job batch query index model dataset
    """
)
FIRST_NAMES = words(
    """
    Anna Ben Carla David Emma Felix Grace Hugo Iris Jonas Kate Leo Mia Noah Olga Paul Rosa Sam
    Tina Uwe Vera Will Yara Zoe Alice Bob Charlie John Mary
    """
)
CITIES = words(
    """
    Boston Chicago Munich Hamburg Milan Lyon Porto Geneva Zurich Osaka Mumbai Shanghai Toronto
    Sydney Seattle Dallas Miami Bristol Leeds Glasgow Krakow Barcelona Naples Kyoto Lagos
    """
)
THINGS = words(
    """
    red blue green apple river stone window summer winter paper silver coffee garden music bread
    ocean forest bicycle camera laptop mountain pizza football science history python django
    yellow orange travel market battery keyboard chair table lamp shoes jacket guitar piano novel
    engine rocket planet island bridge castle tea sugar rain snow storm shadow mirror
    """
)
SYLLABLES = words(
    """
    ba be bi bo da de do fa fi ga go ha ka ke ki ko la le li lo lu ma me mi mo na ne ni no pa pe
    po ra re ri ro ru sa se si so ta te ti to tu va ve vi vo wa ya za zo bar den fel gor han kel
    lan mor nor pel ros san tan ver wel zan ster ford ton land berg ville stad burg mont
    """
)
