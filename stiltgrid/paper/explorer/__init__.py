"""explorer.html: every cell of a grid on one page that needs no network, for looking, filtering and checking."""
