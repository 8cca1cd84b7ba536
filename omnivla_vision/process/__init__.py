"""What a program owes the machine that it runs on: it ends when it is told to, and leaves nothing behind."""
