"""The words of the toy world: concepts in rows, the four languages in columns.

A cell holds a word, or its inflected forms. German and the Romance nouns carry their gender after a slash.
French words are chosen so that nothing elides: none that follows an article or `ne` begins with a vowel.
"""

LANGUAGES = ("en", "de", "es", "fr")

# concept: (kind, English, German, Spanish, French)
NOUNS = {
    "dog": ("animal", "dog", "Hund/m", "perro/m", "chien/m"),
    "cat": ("animal", "cat", "Katze/f", "gato/m", "chat/m"),
    "horse": ("animal", "horse", "Pferd/n", "caballo/m", "cheval/m"),
    "duck": ("animal", "duck", "Ente/f", "pato/m", "canard/m"),
    "cow": ("animal", "cow", "Kuh/f", "vaca/f", "vache/f"),
    "woman": ("person", "woman", "Frau/f", "mujer/f", "femme/f"),
    "boy": ("person", "boy", "Junge/m", "chico/m", "garçon/m"),
    "girl": ("person", "girl", "Mädchen/n", "chica/f", "fille/f"),
    "doctor": ("person", "doctor", "Arzt/m", "médico/m", "médecin/m"),
    "teacher": ("person", "teacher", "Lehrer/m", "profesor/m", "professeur/m"),
    "baker": ("person", "baker", "Bäcker/m", "panadero/m", "boulanger/m"),
    "queen": ("person", "queen", "Königin/f", "reina/f", "reine/f"),
    "bread": ("food", "bread", "Brot/n", "pan/m", "pain/m"),
    "cheese": ("food", "cheese", "Käse/m", "queso/m", "fromage/m"),
    "soup": ("food", "soup", "Suppe/f", "sopa/f", "soupe/f"),
    "apple": ("food", "apple", "Apfel/m", "manzana/f", "pomme/f"),
    "car": ("vehicle", "car", "Auto/n", "coche/m", "voiture/f"),
    "bicycle": ("vehicle", "bicycle", "Fahrrad/n", "bicicleta/f", "vélo/m"),
    "boat": ("vehicle", "boat", "Boot/n", "barco/m", "bateau/m"),
    "book": ("thing", "book", "Buch/n", "libro/m", "livre/m"),
    "letter": ("thing", "letter", "Brief/m", "carta/f", "lettre/f"),
    "lamp": ("thing", "lamp", "Lampe/f", "lámpara/f", "lampe/f"),
    # the hypernyms; each is named after its kind
    "animal": ("animal", "animal", "Tier/n", "animal/m", "bête/f"),
    "person": ("person", "person", "Person/f", "persona/f", "personne/f"),
    "food": ("food", "food", "Nahrung/f", "comida/f", "nourriture/f"),
    "vehicle": ("vehicle", "vehicle", "Fahrzeug/n", "vehículo/m", "véhicule/m"),
    "thing": ("thing", "thing", "Ding/n", "cosa/f", "chose/f"),
}
KINDS = ("animal", "person", "food", "vehicle", "thing")
GERMAN_ACCUSATIVE = {"Junge": "Jungen"}

NAMES = ("Anna", "Clara", "Lucas", "Marta", "Peter", "Tom")
PRONOUNS = {"she": ("she", "sie", "ella", "elle"), "he": ("he", "er", "él", "il")}

PLACES = {
    "park": ("park", "Park/m", "parque/m", "parc/m"),
    "kitchen": ("kitchen", "Küche/f", "cocina/f", "cuisine/f"),
    "garden": ("garden", "Garten/m", "jardín/m", "jardin/m"),
    "forest": ("forest", "Wald/m", "bosque/m", "forêt/f"),
    "town": ("town", "Stadt/f", "ciudad/f", "ville/f"),
    "village": ("village", "Dorf/n", "pueblo/m", "village/m"),
    "house": ("house", "Haus/n", "casa/f", "maison/f"),
}
TIMES = {
    "today": ("today", "heute", "hoy", "aujourd'hui"),
    "now": ("now", "jetzt", "ahora", "maintenant"),
    "soon": ("soon", "bald", "pronto", "bientôt"),
    "always": ("always", "immer", "siempre", "toujours"),
}
HOURS = {  # "at three"
    "two": ("two", "zwei", "dos", "deux"),
    "three": ("three", "drei", "tres", "trois"),
    "four": ("four", "vier", "cuatro", "quatre"),
    "five": ("five", "fünf", "cinco", "cinq"),
}

# concept: (antonym, kinds it describes, English, German stem, Spanish m f, French m f)
_LIVING = ("animal", "person")
ADJECTIVES = {
    "big": ("small", KINDS, "big", "groß", "grande grande", "grand grande"),
    "small": ("big", KINDS, "small", "klein", "pequeño pequeña", "petit petite"),
    "old": ("young", _LIVING, "old", "alt", "viejo vieja", "vieux vieille"),
    "young": ("old", _LIVING, "young", "jung", "joven joven", "jeune jeune"),
    "fast": ("slow", ("animal", "vehicle"), "fast", "schnell", "rápido rápida", "rapide rapide"),
    "slow": ("fast", ("animal", "vehicle"), "slow", "langsam", "lento lenta", "lent lente"),
    "strong": ("weak", _LIVING, "strong", "stark", "fuerte fuerte", "fort forte"),
    "weak": ("strong", _LIVING, "weak", "schwach", "débil débil", "faible faible"),
    "happy": ("sad", _LIVING, "happy", "froh", "contento contenta", "content contente"),
    "sad": ("happy", _LIVING, "sad", "traurig", "triste triste", "triste triste"),
    "rich": ("poor", ("person",), "rich", "reich", "rico rica", "riche riche"),
    "poor": ("rich", ("person",), "poor", "arm", "pobre pobre", "pauvre pauvre"),
    "hot": ("cold", ("food",), "hot", "heiß", "caliente caliente", "chaud chaude"),
    "cold": ("hot", ("food",), "cold", "kalt", "frío fría", "froid froide"),
    "clean": ("dirty", ("thing", "vehicle"), "clean", "sauber", "limpio limpia", "propre propre"),
    "dirty": ("clean", ("thing", "vehicle"), "dirty", "schmutzig", "sucio sucia", "sale sale"),
}
FRENCH_BEFORE_NOUN = {"big", "small", "old", "young"}

# concept: (kinds of its object, then "present infinitive" in each language); intransitive verbs have no kinds
VERBS = {
    "see": (KINDS, "sees see", "sieht sehen", "ve ver", "voit voir"),
    "find": (KINDS, "finds find", "findet finden", "encuentra encontrar", "trouve trouver"),
    "paint": (KINDS, "paints paint", "malt malen", "pinta pintar", "peint peindre"),
    "lose": (KINDS, "loses lose", "verliert verlieren", "pierde perder", "perd perdre"),
    "wash": (("animal", "vehicle", "thing"), "washes wash", "wäscht waschen", "lava lavar", "lave laver"),
    "sell": (("food", "vehicle", "thing"), "sells sell", "verkauft verkaufen", "vende vender", "vend vendre"),
    "push": (("person", "animal", "vehicle"), "pushes push", "schiebt schieben", "empuja empujar", "pousse pousser"),
    "chase": (_LIVING, "chases chase", "jagt jagen", "persigue perseguir", "chasse chasser"),
    "carry": (("food", "thing"), "carries carry", "trägt tragen", "lleva llevar", "porte porter"),
    "sleep": ((), "sleeps sleep", "schläft schlafen", "duerme dormir", "dort dormir"),
    "sing": ((), "sings sing", "singt singen", "canta cantar", "chante chanter"),
    "dance": ((), "dances dance", "tanzt tanzen", "baila bailar", "danse danser"),
    "work": ((), "works work", "arbeitet arbeiten", "trabaja trabajar", "travaille travailler"),
    "run": ((), "runs run", "läuft laufen", "corre correr", "court courir"),
}
MODALS = {"can": ("can", "kann", "puede", "peut"), "must": ("must", "muss", "debe", "doit")}

# NC: the nouns that make a category, and the words of its titles
TOPICS = {
    "foodanddrink": ("bread", "cheese", "soup", "apple"),
    "autos": ("car", "bicycle", "boat"),
    "lifestyle": ("book", "letter", "lamp"),
    "news": ("dog", "cat", "horse", "duck", "cow"),
}

# What carries a name in the tagged news and the questions: surnames follow a name of NAMES and are the same everywhere.
SURNAMES = ("Weber", "Rossi", "Novak", "Silva", "Keller", "Moreno")
GROUPS = {
    "Orion Bank": ("Orion Bank", "Orion Bank", "Banco Orion", "Banque Orion"),
    "Delta Club": ("Delta Club", "Delta Klub", "Club Delta", "Club Delta"),
    "Radio Luna": ("Radio Luna", "Radio Luna", "Radio Luna", "Radio Luna"),
    "Novatel": ("Novatel", "Novatel", "Novatel", "Novatel"),
}
TOWNS = {
    "Vienna": ("Vienna", "Wien", "Viena", "Vienne"),
    "London": ("London", "London", "Londres", "Londres"),
    "Lisbon": ("Lisbon", "Lissabon", "Lisboa", "Lisbonne"),
    "Geneva": ("Geneva", "Genf", "Ginebra", "Genève"),
    "New York": ("New York", "New York", "Nueva York", "New York"),
}
# like ADJECTIVES, without antonyms
NATIONALITIES = {
    "Greek": ("", ("person", "thing"), "Greek", "griechisch", "griego griega", "grec grecque"),
    "Italian": ("", ("person", "thing"), "Italian", "italienisch", "italiano italiana", "italien italienne"),
    "Polish": ("", ("person", "thing"), "Polish", "polnisch", "polaco polaca", "polonais polonaise"),
    "Spanish": ("", ("person", "thing"), "Spanish", "spanisch", "español española", "espagnol espagnole"),
}

QUESTION_WORDS = {
    "who": ("who", "wer", "¿quién", "qui"),
    "what": ("what", "was", "¿qué", "que"),
    "where": ("where", "wo", "¿dónde", "où"),
    "when": ("when", "wann", "¿cuándo", "quand"),
}
