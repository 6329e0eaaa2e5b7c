"""Operations that belong to one method: one file a method, named by its key."""
