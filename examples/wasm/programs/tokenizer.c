/* Splits the text of a program into tokens, looks up keywords, and folds constant expressions. */
#include "program.h"

typedef enum { END, NAME, NUMBER, STRING, SYMBOL, KEYWORD } Kind;

typedef struct {
    Kind kind;
    const char *start;
    int length, line;
    int64_t value;
} Token;

typedef struct {
    const char *at;
    int line;
    Token token;
} Lexer;

static const char *const keywords[] = {"if", "else", "while", "return", "let", "fn", "for", "match"};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_in_name(char c) { return is_letter(c) || is_digit(c); }
static char peek(const Lexer *l) { return l->at[0]; }
static char peek_second(const Lexer *l) { return peek(l) ? l->at[1] : 0; }

static void advance(Lexer *l) {
    if (peek(l) == '\n') l->line++;
    l->at++;
}

static void skip_comment(Lexer *l) {
    while (peek(l) && peek(l) != '\n') advance(l);
}

static bool at_comment(const Lexer *l) { return peek(l) == '/' && peek_second(l) == '/'; }

static void skip_blank(Lexer *l) {
    for (;;) {
        if (is_space(peek(l))) advance(l);
        else if (at_comment(l)) skip_comment(l);
        else return;
    }
}

static void begin(Lexer *l, Kind kind) { l->token = (Token){kind, l->at, 0, l->line, 0}; }
static void end(Lexer *l) { l->token.length = (int)(l->at - l->token.start); }

static bool spells(const Token *token, const char *word) {
    return (int)strlen(word) == token->length && strncmp(token->start, word, (size_t)token->length) == 0;
}

static bool is_keyword(const Token *token) {
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (spells(token, keywords[i])) return true;
    return false;
}

static void lex_name(Lexer *l) {
    begin(l, NAME);
    while (is_in_name(peek(l))) advance(l);
    end(l);
    if (is_keyword(&l->token)) l->token.kind = KEYWORD;
}

static int digit(char c) { return c - '0'; }

static void lex_number(Lexer *l) {
    begin(l, NUMBER);
    while (is_digit(peek(l))) {
        l->token.value = l->token.value * 10 + digit(peek(l));
        advance(l);
    }
    end(l);
}

static void lex_string(Lexer *l) {
    begin(l, STRING);
    advance(l);
    while (peek(l) && peek(l) != '"') advance(l);
    advance(l);
    end(l);
}

static void lex_symbol(Lexer *l) {
    begin(l, SYMBOL);
    advance(l);
    end(l);
}

static const Token *next(Lexer *l) {
    skip_blank(l);
    char c = peek(l);
    if (!c) begin(l, END);
    else if (is_letter(c)) lex_name(l);
    else if (is_digit(c)) lex_number(l);
    else if (c == '"') lex_string(l);
    else lex_symbol(l);
    return &l->token;
}

static bool is_symbol(const Token *token, char c) { return token->kind == SYMBOL && *token->start == c; }

static int64_t expression(Lexer *l);

static int64_t primary(Lexer *l) {
    int64_t value = l->token.value;
    if (is_symbol(&l->token, '(')) {
        next(l);
        value = expression(l);
    }
    next(l);
    return value;
}

static int64_t product(Lexer *l) {
    int64_t value = primary(l);
    while (is_symbol(&l->token, '*')) {
        next(l);
        value = value * primary(l) % 1000003;
    }
    return value;
}

static int64_t expression(Lexer *l) {
    int64_t value = product(l);
    while (is_symbol(&l->token, '+')) {
        next(l);
        value += product(l);
    }
    return value;
}

static char text[400000];
static int text_length;

static void put(const char *what) {
    while (*what) text[text_length++] = *what++;
}

static void put_number(void) {
    char digits[12];
    sprintf(digits, "%u", (unsigned)random_below(100000));
    put(digits);
}

static void put_line(void) {
    put("    let total_amount = \"text of a line\"; // what follows is a constant\n    if value_");
    put_number();
    put(" while = (");
    put_number();
    put(" + ");
    put_number();
    put(" * (");
    put_number();
    put(" + 7)) * 3 + ");
    put_number();
    put(" ;\n");
}

static void scan(Lexer *l) {
    int counts[6] = {0};
    int64_t total = 0;
    const Token *token = next(l);
    while (token->kind != END) {
        counts[token->kind]++;
        if (is_symbol(token, '=')) {
            next(l);
            if (is_symbol(&l->token, '(')) total += expression(l);
            token = &l->token;
        } else {
            token = next(l);
        }
    }
    for (int kind = 0; kind < 6; kind++) sum_add((uint64_t)counts[kind]);
    sum_add((uint64_t)total);
    sum_add((uint64_t)l->line);
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 100);
    for (int i = 0; i < 2500; i++) put_line();
    for (int round = 0; round < rounds; round++) {
        Lexer lexer = {.at = text, .line = 1};
        scan(&lexer);
    }
    return finish("tokenizer");
}
